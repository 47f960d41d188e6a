//! What may be done in which namespace: the configuration of namespaces and routes, checked and put together.

use std::collections::HashMap;
use std::sync::Arc;

use broker::IdempotencyKey;
use shared::limits::{EVENT_NAME_BYTES_MAX, LAST_ENTRIES_MAX, NAME_BYTES_MAX};
use shared::{StreamName, Text, covers, time};

use super::template::{Place, Template};
use crate::config::{AnnounceSettings, RouteAction, RouteSettings, SocketIoSettings};
use crate::socketio::{self, RESERVED_EVENTS};

/// The event of a route that is taken when a client comes in.
const CONNECT: &str = "connect";

/// The namespaces that clients may connect to.
#[derive(Debug, Default)]
pub struct Namespaces(Vec<(Box<str>, Arc<Rules>)>);

/// What holds in the namespaces of one kind.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// How they are named in metrics and logs: as in the configuration.
    pub(crate) label: Arc<str>,
    /// Whether a lost session can be recovered.
    pub(crate) recovery: bool,
    /// What the client's events do.
    pub(crate) routes: HashMap<Box<str>, Route>,
    /// What is followed from the moment at which a client comes in.
    pub(crate) connect: Vec<SubscribeRoute>,
    /// The fields of `auth` that the routes use; a socket remembers no others.
    pub(crate) auth: Vec<Place>,
}

/// What an event does.
#[derive(Debug)]
pub(crate) enum Route {
    /// Follows streams.
    Subscribe(SubscribeRoute),
    /// Stops following streams.
    Unsubscribe(Vec<Template>),
    /// Appends an event.
    Publish(PublishRoute),
}

/// Follows streams.
#[derive(Debug)]
pub(crate) struct SubscribeRoute {
    /// Which.
    pub(crate) streams: Vec<Template>,
    /// From where.
    pub(crate) begin: Begin,
    /// What the others are told of it.
    pub(crate) announce: Option<Announce>,
}

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begin {
    /// Before the first event.
    Start,
    /// After the last event.
    Now,
    /// With the last so many events.
    Last(usize),
    /// At this time, or so long ago. The text has been read once, so it can be.
    Since(Box<str>),
}

/// An event for those who follow the stream already.
#[derive(Debug)]
pub(crate) struct Announce {
    /// Its name.
    pub(crate) name: Text,
    /// Whether it skips the log.
    pub(crate) ephemeral: bool,
    /// Whether the one it tells of gets it too.
    pub(crate) echo: bool,
}

/// Appends an event.
#[derive(Debug)]
pub(crate) struct PublishRoute {
    /// To which stream.
    pub(crate) stream: Template,
    /// Under which name.
    pub(crate) name: Text,
    /// Its idempotency key.
    pub(crate) key: Option<Template>,
    /// Whether the sender gets it too.
    pub(crate) echo: bool,
    /// Whether it skips the log.
    pub(crate) ephemeral: bool,
}

impl Namespaces {
    /// Checks the settings and puts them together. The error is one line that names the option.
    pub fn compile(settings: &SocketIoSettings) -> Result<Self, String> {
        let mut all: Vec<(Box<str>, Rules)> = Vec::new();
        if settings.namespaces.is_empty() {
            return Err("socketio.namespaces: at least one is needed".into());
        }
        for namespace in &settings.namespaces {
            let name = namespace.name.as_str();
            let problem = |problem: &str| format!("socketio.namespaces: {name:?} {problem}");
            if socketio::Namespace::new(name).is_none() {
                return Err(problem(
                    "begins with / and holds neither a comma nor a question mark",
                ));
            }
            if name.len() > NAME_BYTES_MAX {
                return Err(problem("is too long"));
            }
            if all.iter().any(|(other, _)| &**other == name) {
                return Err(problem("is named twice"));
            }
            let rules = Rules {
                label: name.into(),
                recovery: namespace.recovery,
                ..Rules::default()
            };
            all.push((name.into(), rules));
        }
        for route in &settings.routes {
            let namespace = &route.namespace;
            let rules = all.iter_mut().find(|(name, _)| **name == **namespace);
            let (_, rules) = rules.ok_or_else(|| {
                format!("socketio.routes: {namespace:?} is not one of socketio.namespaces, written as there")
            })?;
            rules
                .add(route)
                .map_err(|problem| format!("socketio.routes: {:?} in {namespace}: {problem}", route.event))?;
        }
        let shared = |(name, rules)| (name, Arc::new(rules));
        Ok(Self(all.into_iter().map(shared).collect()))
    }

    /// What holds in the namespace of this name; `None` if there is no such namespace.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Rules>> {
        let fits = self.0.iter().find(|(pattern, _)| covers(pattern, name));
        fits.map(|(_, rules)| rules)
    }
}

impl Rules {
    fn add(&mut self, settings: &RouteSettings) -> Result<(), String> {
        let on_connect = settings.event == CONNECT;
        match (on_connect, settings.action) {
            (true, RouteAction::Subscribe) => {}
            (true, _) => return Err("the action on connect is subscribe".into()),
            (false, _) => check_event("event", &settings.event)?,
        }
        let route = compile(settings)?;
        let places: Vec<Place> = route.templates().flat_map(Template::places).cloned().collect();
        if on_connect && places.iter().any(|place| matches!(place, Place::Argument(..))) {
            return Err("connect has no arguments; it can use {auth.field} and {namespace}".into());
        }
        if &*self.label == "/" && places.contains(&Place::Namespace) {
            return Err("{namespace} is empty in the namespace /".into());
        }
        for place in places {
            if matches!(place, Place::Auth(_)) && !self.auth.contains(&place) {
                self.auth.push(place);
            }
        }
        match (on_connect, route) {
            (true, Route::Subscribe(subscribe)) => self.connect.push(subscribe),
            (_, route) => {
                if self
                    .routes
                    .insert(settings.event.as_str().into(), route)
                    .is_some()
                {
                    return Err(
                        "this event has a route already; one route may name several \"streams\"".into(),
                    );
                }
            }
        }
        Ok(())
    }
}

impl Route {
    fn templates(&self) -> Box<dyn Iterator<Item = &Template> + '_> {
        match self {
            Self::Subscribe(subscribe) => Box::new(subscribe.streams.iter()),
            Self::Unsubscribe(streams) => Box::new(streams.iter()),
            Self::Publish(publish) => Box::new([&publish.stream].into_iter().chain(&publish.key)),
        }
    }
}

fn compile(settings: &RouteSettings) -> Result<Route, String> {
    let streams = streams(settings)?;
    only_for(settings, settings.action)?;
    Ok(match settings.action {
        RouteAction::Unsubscribe => Route::Unsubscribe(streams),
        RouteAction::Subscribe => Route::Subscribe(SubscribeRoute {
            streams,
            begin: begin(settings)?,
            announce: announce(settings)?,
        }),
        RouteAction::Publish => {
            let [stream] = <[Template; 1]>::try_from(streams)
                .map_err(|_| "a publish goes to one \"stream\"".to_owned())?;
            let name = settings.publish_as.as_ref().unwrap_or(&settings.event);
            check_event("as", name)?;
            if let Some(key) = &settings.key {
                check_key(key)?;
            }
            let ephemeral = settings.ephemeral.unwrap_or(false);
            if ephemeral && settings.key.is_some() {
                return Err("an ephemeral event is not kept, so it has no \"key\"".into());
            }
            Route::Publish(PublishRoute {
                stream,
                name: Text::from(name.as_str()),
                key: settings.key.clone(),
                echo: settings.echo.unwrap_or(true),
                ephemeral,
            })
        }
    })
}

/// What is said but has no meaning for the action was meant for another one.
fn only_for(settings: &RouteSettings, action: RouteAction) -> Result<(), String> {
    use RouteAction::{Publish, Subscribe};
    let announced = settings.announce.is_some();
    let given = [
        ("as", settings.publish_as.is_some(), action == Publish),
        ("echo", settings.echo.is_some(), action == Publish || announced),
        ("ephemeral", settings.ephemeral.is_some(), action == Publish),
        ("key", settings.key.is_some(), action == Publish),
        ("from", settings.from.is_some(), action == Subscribe),
        ("last", settings.last.is_some(), action == Subscribe),
        ("since", settings.since.is_some(), action == Subscribe),
        ("announce", announced, action == Subscribe),
    ];
    match given.into_iter().find(|(_, given, allowed)| *given && !allowed) {
        Some((name, ..)) => Err(format!("{name:?} has no meaning for this action")),
        None => Ok(()),
    }
}

fn streams(settings: &RouteSettings) -> Result<Vec<Template>, String> {
    let streams: Vec<Template> = match (&settings.stream, settings.streams.as_slice()) {
        (Some(stream), []) => vec![stream.clone()],
        (None, streams @ [_, ..]) => streams.to_vec(),
        _ => return Err("name one \"stream\", or several \"streams\"".into()),
    };
    for template in &streams {
        // Whether it can become a name: placeholders will stand for at least one character.
        let sample = template.render(|_, out| {
            out.push('0');
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(sample) = sample;
        sample
            .parse::<StreamName>()
            .map_err(|e| format!("stream \"{template}\": {e}"))?;
    }
    Ok(streams)
}

fn begin(settings: &RouteSettings) -> Result<Begin, String> {
    Ok(match (settings.from.as_deref(), settings.last, &settings.since) {
        (None | Some("now"), None, None) => Begin::Now,
        (Some("start"), None, None) => Begin::Start,
        (Some(_), None, None) => return Err("\"from\" is \"start\" or \"now\"".into()),
        (None, Some(0), None) => Begin::Now,
        (None, Some(count), None) if count <= LAST_ENTRIES_MAX => Begin::Last(count),
        (None, Some(_), None) => return Err(format!("\"last\" is at most {LAST_ENTRIES_MAX}")),
        (None, None, Some(since)) => {
            time::parse_since(since, 0).map_err(|e| format!("\"since\": {e}"))?;
            Begin::Since(since.as_str().into())
        }
        _ => return Err("\"from\", \"last\" and \"since\" exclude each other".into()),
    })
}

fn announce(settings: &RouteSettings) -> Result<Option<Announce>, String> {
    let Some(AnnounceSettings { event, ephemeral }) = &settings.announce else {
        return Ok(None);
    };
    check_event("announce.event", event)?;
    Ok(Some(Announce {
        name: Text::from(event.as_str()),
        ephemeral: *ephemeral,
        echo: settings.echo.unwrap_or(true),
    }))
}

fn check_event(option: &str, name: &str) -> Result<(), String> {
    if RESERVED_EVENTS.contains(&name) {
        return Err(format!("{option}: {name:?} is a name that Socket.IO itself uses"));
    }
    match name.len() {
        1..=EVENT_NAME_BYTES_MAX => Ok(()),
        _ => Err(format!(
            "{option}: the name of an event has 1 to {EVENT_NAME_BYTES_MAX} bytes"
        )),
    }
}

fn check_key(key: &Template) -> Result<(), String> {
    let literals = key.literals().collect::<String>();
    match format!("0{literals}").parse::<IdempotencyKey>() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("key: {error}")),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
