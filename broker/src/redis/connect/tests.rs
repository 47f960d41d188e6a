use redis::Value;

use super::*;

fn hello(version: &str, mode: &str) -> Value {
    let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    Value::Map(vec![
        (text("server"), text("redis")),
        (text("version"), text(version)),
        (text("proto"), Value::Int(3)),
        (text("mode"), text(mode)),
        (text("role"), text("master")),
    ])
}

fn connector(url: &str) -> Result<Connector, String> {
    Connector::new(&RedisConfig::new(url)).map_err(|e| e.to_string())
}

fn refusal(url: &str, reply: &Value) -> Option<String> {
    let connector = connector(url).unwrap_or_else(|e| panic!("{url}: {e}"));
    hello::check(reply, connector.deployment(), false)
        .err()
        .map(|e| e.to_string())
}

#[test]
fn only_servers_that_count_entries_are_taken() {
    let refusal = |reply| refusal("redis://h", &reply);
    assert_eq!(refusal(hello("7.0.15", "standalone")), None);
    assert_eq!(refusal(hello("9.1.0", "standalone")), None);
    let old = refusal(hello("6.2.14", "standalone"));
    assert!(old.is_some_and(|text| text.contains("6.2.14") && text.contains("7.0")));
    assert!(refusal(Value::Nil).is_some());
}

#[test]
fn a_server_of_another_kind_is_met_with_the_right_scheme() {
    let (single, sentinel, cluster) = ("redis://h", "redis-sentinel://h/m", "redis-cluster://h");
    for (url, mode, scheme) in [
        (single, "standalone", None),
        (sentinel, "standalone", None),
        (cluster, "cluster", None),
        (single, "cluster", Some("redis-cluster://")),
        (sentinel, "cluster", Some("redis-cluster://")),
        (single, "sentinel", Some("redis-sentinel://")),
        (cluster, "standalone", Some("redis://")),
    ] {
        let refusal = refusal(url, &hello("7.0.15", mode));
        assert_eq!(refusal.is_some(), scheme.is_some(), "{url} {mode}");
        assert!(
            refusal.is_none_or(|text| text.contains(scheme.unwrap_or_default())),
            "{url} {mode}"
        );
    }
}

#[test]
fn urls_name_a_server_or_sentinels_or_nodes() {
    let deployment = |url: &str| connector(url).map(|connector| connector.deployment);
    match deployment("redis-sentinel://u:p%40@a,[::1]:7,c:9/main/2?sentinel_user=s&sentinel_password=x%2F") {
        Ok(Deployment::Sentinel(sentinels)) => {
            assert_eq!(
                sentinels.describe(),
                "the master main (Sentinels a:26379, [::1]:7, c:9)"
            );
        }
        _ => panic!("not Sentinels"),
    }
    match deployment("redis-cluster://a:7001,b") {
        Ok(Deployment::Cluster { seeds }) => {
            let seeds: Vec<String> = seeds.iter().map(Node::to_string).collect();
            assert_eq!(seeds, ["a:7001", "b:6379"]);
        }
        _ => panic!("not a cluster"),
    }
    match deployment("redis://:secret@[::1]:7/3") {
        Ok(Deployment::Single(place)) => assert_eq!(place.to_string(), "[::1]:7"),
        _ => panic!("not one server"),
    }
    let at = connector("redis-cluster://u:p@a").map(|connector| connector.at("b", 7));
    match at.as_ref().map(|at| (&at.deployment, at.settings.username())) {
        Ok((Deployment::Single(place), Some("u"))) => assert_eq!(place.to_string(), "b:7"),
        _ => panic!("not one node"),
    }
}

#[test]
fn credentials_and_database_come_from_the_url() {
    for (url, user, password, database) in [
        ("redis-sentinel://u:p%40@a,b/main/2", Some("u"), Some("p@"), 2),
        ("redis-sentinel://a/main?sentinel_password=x", None, None, 0),
        ("redis-cluster://:secret@a,b/0", None, Some("secret"), 0),
        ("redis://u:secret@a/5", Some("u"), Some("secret"), 5),
    ] {
        let connector = connector(url).unwrap_or_else(|e| panic!("{url}: {e}"));
        let settings = connector.settings();
        assert_eq!(
            (settings.username(), settings.password()),
            (user, password),
            "{url}"
        );
        assert_eq!(settings.db(), database, "{url}");
    }
}

#[test]
fn urls_that_cannot_be_used_are_explained_without_secrets() {
    for url in [
        "rediss://:secret@h/x",
        "http://u:secret@h",
        "redis://:secret@h/x",
        "rediss://:secret@h#insecure",
        "redis-sentinel://:secret@h",
        "redis-sentinel://:secret@h/",
        "redis-sentinel://:secret@h/m/x",
        "redis-sentinel://:secret@h/m?secret=1",
        "redis-sentinel://:secret@h/m?sentinel_user=secret",
        "redis-sentinel://:secret@h,/m",
        "redis-sentinel://:secret@h:0/m",
        "redis-sentinel://:secret@h:secret/m",
        "redis-cluster://:secret@h/1",
        "redis-cluster://:secret@h?x=secret",
        "redis-cluster://:secret@",
        "",
    ] {
        let error = connector(url).err();
        assert!(
            error.is_some_and(|e| !e.contains("secret") && !e.contains('\n')),
            "{url}"
        );
    }
}
