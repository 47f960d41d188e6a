use proptest::prelude::*;
use shared::Ordinal;

use super::*;
use broker::Direction;

const NOW_MS: u64 = 1_700_000_000_000;

fn uri(query: &str) -> Uri {
    format!("/v1/streams/a?{query}")
        .parse()
        .unwrap_or_else(|e| panic!("{query}: {e}"))
}

fn stream(name: &str) -> StreamName {
    name.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn page(query: &str) -> Result<PageQuery, ApiError> {
    PageQuery::parse(&uri(query), NOW_MS, &stream("a"))
}

fn direction(query: &str) -> Direction {
    page(query)
        .unwrap_or_else(|e| panic!("{query}: {e}"))
        .request
        .direction
}

#[track_caller]
fn refused<T>(outcome: Result<T, ApiError>, name: &str) {
    let Err(error) = outcome else {
        panic!("accepted, should name {name}")
    };
    assert_eq!(error.code(), Code::InvalidParameter, "{error}");
    assert!(
        error.message().starts_with(&format!("parameter \"{name}\": ")),
        "{error}"
    );
}

#[test]
fn where_a_page_begins() {
    let cursor = Cursor::new(EntryId::new(5, 1), 3);
    for (query, from) in [
        ("", From::Start),
        ("from=start", From::Start),
        ("from=now", From::Now),
        ("from=5-1.3", From::Cursor(cursor)),
        ("from=5-1", From::Cursor(Cursor::bare(EntryId::new(5, 1)))),
        ("from=5", From::Cursor(Cursor::bare(EntryId::new(5, 0)))),
        ("from=a~5-1.3,b~9-9.9", From::Cursor(cursor)),
        ("from=a%7E5-1.3%2Cb~9-9.9", From::Cursor(cursor)),
        ("last=7", From::Last(7)),
        ("last=0", From::Now),
        ("since=15m", From::Since(EntryId::new(NOW_MS - 900_000, 0))),
        ("since=2023-11-14T22:13:20Z", From::Since(EntryId::new(NOW_MS, 0))),
        (
            "since=2023-11-15T00:13:20%2B02:00",
            From::Since(EntryId::new(NOW_MS, 0)),
        ),
        (
            "since=2023-11-15T00:13:20+02:00",
            From::Since(EntryId::new(NOW_MS, 0)),
        ),
    ] {
        assert_eq!(direction(query), Direction::Forward(from), "{query}");
    }
}

#[test]
fn backward_has_two_ends() {
    let cursor = Cursor {
        id: EntryId::new(5, 1),
        ordinal: Some(Ordinal(3)),
    };
    for (query, before, since) in [
        ("reverse=true", None, None),
        ("reverse", None, None),
        ("reverse=1&from=now", None, None),
        ("reverse&from=5-1.3", Some(cursor), None),
        ("reverse&from=start", Some(Cursor::START), None),
        (
            "reverse&from=5-1.3&since=1s",
            Some(cursor),
            Some(EntryId::new(NOW_MS - 1000, 0)),
        ),
    ] {
        assert_eq!(direction(query), Direction::Backward { before, since }, "{query}");
    }
    assert_eq!(direction("reverse=false"), Direction::Forward(From::Start));
}

#[test]
fn limits_have_bounds_and_last_is_a_limit_too() {
    let limit = |query: &str| page(query).map(|page| page.request.limit).ok();
    assert_eq!(limit(""), Some(100));
    assert_eq!(limit("limit=5"), Some(5));
    assert_eq!(limit("limit=1000"), Some(1000));
    for outside in ["limit=0", "limit=1001", "limit=999999"] {
        let Err(error) = page(outside) else {
            panic!("{outside} was accepted")
        };
        assert!(error.message().contains("expected 1 to 1000"), "{error}");
    }
    assert_eq!(limit("last=500"), Some(500));
    assert_eq!(limit("last=500&limit=10"), Some(10));
    assert_eq!(limit("last=100000"), Some(1000));
}

#[test]
fn the_rest_of_a_page() {
    let query = page("event=a&event=b&match=x%2By&wait=1m30s&until=2023-11-14T22:13:20Z");
    let query = query.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(query.wait, Some(Duration::from_secs(90)));
    assert_eq!(query.request.until, Some(EntryId::new(NOW_MS, u64::MAX)));
    assert!(!query.filter.passes_all());
    assert!(page("").is_ok_and(|page| page.filter.passes_all()));
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    refused(page("form=start"), "form");
    refused(page("stream=b"), "stream");
    refused(page("from=%FF"), "from");
    refused(page("from=yesterday"), "from");
    refused(page("from=b~5-1.3"), "from");
    refused(page("from=1-1&from=1-1"), "from");
    refused(page("from=start&last=5"), "last");
    refused(page("from=start&since=5m"), "since");
    refused(page("last=5&since=5m"), "since");
    refused(page("last=-1"), "last");
    refused(page("last=100001"), "last");
    refused(page("limit=0"), "limit");
    refused(page("limit=ten"), "limit");
    refused(page("reverse=maybe"), "reverse");
    refused(page("reverse&last=5"), "reverse");
    refused(page("reverse&wait=5s"), "reverse");
    refused(page("since=noon"), "since");
    refused(page("until=1h&since=30m"), "until");
    refused(page("reverse&until=1h&since=30m"), "until");
    refused(page("wait=30"), "wait");
    refused(page("match=("), "match");
    refused(TailQuery::parse(&uri("limit=5"), NOW_MS), "limit");
    refused(TailQuery::parse(&uri("wait=5s"), NOW_MS), "wait");
    refused(TailQuery::parse(&uri("reverse"), NOW_MS), "reverse");
}

#[test]
fn a_merged_tail_names_its_streams() {
    let merged = |query: &str| TailQuery::parse_merged(&uri(query), NOW_MS);
    let (streams, query) =
        merged("stream=a&stream=b%2Fc&from=a~1-1.1,b/c~2-2.2").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(streams, [stream("a"), stream("b/c")]);
    let position = query.position.unwrap_or_else(|| panic!("no position"));
    let cursor = Cursor::new(EntryId::new(2, 2), 2);
    assert_eq!(position.in_stream(&stream("b/c")), Some(From::Cursor(cursor)));
    assert_eq!(position.in_stream(&stream("d")), None);
    refused(merged(""), "stream");
    refused(merged("stream=a&stream=a"), "stream");
    refused(merged("stream=a&stream=b&from=1-1.1"), "from");
    assert!(merged("stream=a&from=1-1.1").is_ok());
    assert!(merged("stream=%20").is_err_and(|e| e.code() == Code::InvalidStream));
}

proptest! {
    #[test]
    fn no_query_makes_it_panic(query in "[ -~]{0,60}") {
        if let Ok(uri) = format!("/v1/tail?{query}").parse::<Uri>() {
            let _ = PageQuery::parse(&uri, NOW_MS, &stream("a"));
            let _ = TailQuery::parse(&uri, NOW_MS);
            let _ = TailQuery::parse_merged(&uri, NOW_MS);
        }
    }

    #[test]
    fn names_survive_the_path(name in "[a-zA-Z0-9._:/-]{1,60}") {
        let encoded = percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
        let uri: Uri = format!("{STREAMS_PATH}{encoded}").parse().unwrap_or_else(|e| panic!("{e}"));
        let segment = uri.path().strip_prefix(STREAMS_PATH).unwrap_or_default();
        let decoded = percent_decode_str(segment).decode_utf8_lossy().into_owned();
        prop_assert_eq!(decoded, name);
    }
}
