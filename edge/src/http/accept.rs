//! Content negotiation: which form of an answer a client takes (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

/// The forms in which streams are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// Server-sent events.
    Sse,
    /// A JSON object a line.
    Ndjson,
}

impl Format {
    /// The content type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Sse => "text/event-stream",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    /// Other names of the same thing.
    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Ndjson => &[
                "application/ndjson",
                "application/jsonl",
                "application/x-jsonlines",
            ],
            Self::Json | Self::Sse => &[],
        }
    }

    /// The form that a media type (without parameters, in any case) names.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        [Self::Json, Self::Sse, Self::Ndjson].into_iter().find(|format| {
            media_type.eq_ignore_ascii_case(format.media_type())
                || format
                    .aliases()
                    .iter()
                    .any(|a| media_type.eq_ignore_ascii_case(a))
        })
    }
}

/// The one of `offers` that the client likes best; the first of equals, and the first if it does not say.
/// `None` if it takes none of them.
pub fn negotiate(headers: &HeaderMap, offers: &[Format]) -> Option<Format> {
    let ranges: Vec<(&str, f32)> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(parse_range)
        .filter(|(range, _)| !range.is_empty())
        .collect();
    if ranges.is_empty() {
        return offers.first().copied();
    }
    let mut best = None;
    for offer in offers {
        let quality = quality(&ranges, *offer);
        if quality > best.map_or(0.0, |(_, q)| q) {
            best = Some((*offer, quality));
        }
    }
    best.map(|(offer, _)| offer)
}

fn parse_range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let quality = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then(|| value.trim().parse().unwrap_or(0.0))
    });
    (range, quality.unwrap_or(1.0))
}

/// The quality of the most specific range that covers the offer.
fn quality(ranges: &[(&str, f32)], offer: Format) -> f32 {
    let specificity = |range: &str| {
        if Format::of_media_type(range) == Some(offer) {
            return 3;
        }
        match range.strip_suffix("/*") {
            Some("*") => 1,
            Some(kind) if offer.media_type().split('/').next() == Some(kind) => 2,
            _ => 0,
        }
    };
    ranges
        .iter()
        .map(|(range, quality)| (specificity(range), *quality))
        .filter(|(specificity, _)| *specificity > 0)
        .max_by_key(|(specificity, _)| *specificity)
        .map_or(0.0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::Format::{Json, Ndjson, Sse};
    use super::*;

    const ALL: &[Format] = &[Json, Ndjson, Sse];

    fn of(accept: &str, offers: &[Format]) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap_or_else(|_| unreachable!()));
        negotiate(&headers, offers)
    }

    #[test]
    fn what_the_client_names_is_what_it_gets() {
        assert_eq!(of("text/event-stream", ALL), Some(Sse));
        assert_eq!(of("Text/Event-Stream; charset=utf-8", ALL), Some(Sse));
        assert_eq!(of("application/x-ndjson", ALL), Some(Ndjson));
        assert_eq!(of("application/jsonl", ALL), Some(Ndjson));
        assert_eq!(of("application/json, text/event-stream;q=0.5", ALL), Some(Json));
        assert_eq!(of("application/json;q=0.1, text/event-stream", ALL), Some(Sse));
    }

    #[test]
    fn a_wildcard_takes_the_first_offer() {
        assert_eq!(of("*/*", ALL), Some(Json));
        assert_eq!(of("*/*", &[Ndjson, Sse]), Some(Ndjson));
        assert_eq!(of("text/html,application/xhtml+xml,*/*;q=0.8", ALL), Some(Json));
        assert_eq!(of("text/*", ALL), Some(Sse));
        assert_eq!(of("application/*", &[Sse, Ndjson]), Some(Ndjson));
        assert_eq!(negotiate(&HeaderMap::new(), ALL), Some(Json));
        assert_eq!(of("", ALL), Some(Json));
    }

    #[test]
    fn what_is_excluded_or_unknown_is_not_given() {
        assert_eq!(of("text/html", ALL), None);
        assert_eq!(of("application/json;q=0", ALL), None);
        assert_eq!(of("application/json;q=0, */*", ALL), Some(Ndjson));
        assert_eq!(of("application/json", &[Ndjson, Sse]), None);
    }
}
