//! Configurations that make sense, and others.

#![allow(clippy::unwrap_used)]

use super::*;

fn settings(toml: &str) -> SocketIoSettings {
    toml::from_str(toml).unwrap_or_else(|e| panic!("{toml}: {e}"))
}

fn compiled(toml: &str) -> Namespaces {
    Namespaces::compile(&settings(toml)).unwrap_or_else(|e| panic!("{toml}: {e}"))
}

#[track_caller]
fn refused(toml: &str, hint: &str) {
    let problem = Namespaces::compile(&settings(toml)).unwrap_err();
    assert!(problem.contains(hint), "{toml}: {problem}");
    assert!(!problem.contains('\n'), "{problem}");
}

#[test]
fn the_first_namespace_that_fits_counts_and_unknown_ones_are_none() {
    let namespaces = compiled(
        r#"namespaces = [{name = "/"}, {name = "/org-1", recovery = false}, {name = "/org-*"}]
        [[routes]]
        namespace = "/org-*"
        event = "join"
        action = "subscribe"
        stream = "{namespace}:{0}"
        "#,
    );
    assert!(namespaces.find("/").unwrap().recovery);
    assert!(!namespaces.find("/org-1").unwrap().recovery);
    let org = namespaces.find("/org-22").unwrap();
    assert!(org.recovery && org.routes.contains_key("join"));
    assert_eq!(&*org.label, "/org-*");
    assert!(namespaces.find("/org").is_none() && namespaces.find("/x/org-1").is_none());
    assert!(namespaces.find("/").unwrap().routes.is_empty());
}

#[test]
fn only_the_fields_of_auth_that_routes_use_are_remembered() {
    let namespaces = compiled(
        r#"
        [[routes]]
        event = "connect"
        action = "subscribe"
        streams = ["user:{auth.user}", "org:{auth.org.id}"]
        last = 10
        [[routes]]
        event = "connect"
        action = "subscribe"
        stream = "all"
        [[routes]]
        event = "note"
        action = "publish"
        stream = "user:{auth.user}"
        as = "noted"
        key = "{0.id}"
        echo = false
        "#,
    );
    let rules = namespaces.find("/").unwrap();
    let auth: Vec<String> = rules.auth.iter().map(ToString::to_string).collect();
    assert_eq!(auth, ["auth.user", "auth.org.id"]);
    assert_eq!(rules.connect.len(), 2);
    assert_eq!(rules.connect[0].begin, Begin::Last(10));
    let Some(Route::Publish(publish)) = rules.routes.get("note") else {
        panic!();
    };
    assert_eq!(publish.name.as_str(), "noted");
    assert!(!publish.echo && !publish.ephemeral);
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    refused("namespaces = []", "at least one");
    refused("namespaces = [{name = \"org\"}]", "begins with /");
    refused("namespaces = [{name = \"/a,b\"}]", "comma");
    refused("namespaces = [{name = \"/\"}, {name = \"/\"}]", "twice");
    let route = |rest: &str| format!("[[routes]]\n{rest}");
    let subscribe = |rest: &str| route(&format!("event = \"e\"\naction = \"subscribe\"\n{rest}"));
    let publish = |rest: &str| route(&format!("event = \"e\"\naction = \"publish\"\n{rest}"));
    refused(&subscribe("namespace = \"/x\"\nstream = \"a\""), "\"/x\"");
    refused(&subscribe(""), "name one");
    refused(&subscribe("stream = \"a\"\nstreams = [\"b\"]"), "name one");
    refused(&subscribe("stream = \"ä:{0}\""), "stream \"ä:{0}\"");
    refused(&subscribe("stream = \"a b\""), "letters");
    refused(&subscribe("stream = \"\""), "empty");
    refused(&subscribe("stream = \"a\"\nas = \"x\""), "\"as\"");
    refused(&subscribe("stream = \"a\"\necho = false"), "\"echo\"");
    refused(&subscribe("stream = \"a\"\nfrom = \"1-0\""), "\"from\"");
    refused(&subscribe("stream = \"a\"\nfrom = \"now\"\nlast = 1"), "exclude");
    refused(&subscribe("stream = \"a\"\nlast = 100001"), "100000");
    refused(&subscribe("stream = \"a\"\nsince = \"soon\""), "since");
    refused(
        &subscribe("stream = \"a\"\nannounce = {event = \"connect\"}"),
        "announce.event",
    );
    refused(&publish("streams = [\"a\", \"b\"]"), "one \"stream\"");
    refused(&publish("stream = \"a\"\nlast = 1"), "\"last\"");
    refused(
        &publish("stream = \"a\"\nas = \"disconnect\""),
        "as: \"disconnect\"",
    );
    refused(&publish("stream = \"a\"\nkey = \"ä\""), "printable");
    refused(
        &publish("stream = \"a\"\nkey = \"{0}\"\nephemeral = true"),
        "ephemeral",
    );
    let on = |event: &str, rest: &str| route(&format!("event = \"{event}\"\n{rest}"));
    refused(
        &on("disconnect", "action = \"publish\"\nstream = \"a\""),
        "itself uses",
    );
    refused(&on("", "action = \"publish\"\nstream = \"a\""), "1 to 200");
    refused(
        &on("connect", "action = \"subscribe\"\nstream = \"a:{0}\""),
        "no arguments",
    );
    refused(
        &on("connect", "action = \"publish\"\nstream = \"a\""),
        "subscribe",
    );
    refused(&subscribe("stream = \"a:{namespace}\""), "{namespace} is empty");
    let twice = publish("stream = \"a\"\n") + &publish("stream = \"b\"");
    refused(&twice, "already");
}
