//! The streams that routes name, with the values that the client and its namespace give.

use broker::From;
use shared::{EntryId, StreamName, time};

use super::{Now, Session, Wanted};
use crate::error::{ApiError, Code};
use crate::gateway::arguments::Arguments;
use crate::gateway::record::FilterText;
use crate::gateway::rules::{Begin, SubscribeRoute};
use crate::gateway::template::{Place, Template};

impl Session {
    /// The streams of a route, and where each begins.
    pub(super) fn targets(
        &self,
        route: &SubscribeRoute,
        arguments: Option<&Arguments<'_>>,
        now: Now,
    ) -> Result<Vec<Wanted>, ApiError> {
        let from = match &route.begin {
            Begin::Start => From::Start,
            Begin::Now => From::Now,
            Begin::Last(count) => From::Last(*count),
            Begin::Since(text) => {
                let ms = time::parse_since(text, now.ms).map_err(|e| ApiError::parameter("since", e))?;
                From::Since(EntryId::new(ms, 0))
            }
        };
        let wanted = |stream| Wanted {
            stream,
            from,
            filter: FilterText::default(),
        };
        let streams = self.streams(&route.streams, arguments)?;
        Ok(streams.into_iter().map(wanted).collect())
    }

    /// The streams that templates make, each once.
    pub(super) fn streams(
        &self,
        templates: &[Template],
        arguments: Option<&Arguments<'_>>,
    ) -> Result<Vec<StreamName>, ApiError> {
        let mut streams = Vec::new();
        for template in templates {
            let stream = self.stream(template, arguments)?;
            if !streams.contains(&stream) {
                streams.push(stream);
            }
        }
        Ok(streams)
    }

    pub(super) fn stream(
        &self,
        template: &Template,
        arguments: Option<&Arguments<'_>>,
    ) -> Result<StreamName, ApiError> {
        let stream: StreamName = self.render(template, arguments)?.parse()?;
        self.check_name(&stream)?;
        Ok(stream)
    }

    /// Names may be bounded more tightly here than in general.
    pub(super) fn check_name(&self, stream: &StreamName) -> Result<(), ApiError> {
        let max = self.limits.name_bytes_max;
        match stream.as_str().len() <= max {
            true => Ok(()),
            false => Err(ApiError::new(
                Code::InvalidStream,
                format!("a stream name has at most {max} bytes here"),
            )),
        }
    }

    pub(super) fn render(
        &self,
        template: &Template,
        arguments: Option<&Arguments<'_>>,
    ) -> Result<String, ApiError> {
        template.render(|place, out| {
            let value = match place {
                Place::Argument(index, path) => arguments.and_then(|all| all.value(*index, path)),
                Place::Auth(_) => {
                    let index = self.rules.auth.iter().position(|known| known == place);
                    let value = index.and_then(|index| self.auth.get(index)?.as_deref());
                    value.map(str::to_owned)
                }
                Place::Namespace => self.namespace.as_str().strip_prefix('/').map(str::to_owned),
            };
            let value = value.filter(|value| !value.is_empty()).ok_or_else(|| {
                let problem = format!("{{{place}}} is missing: expected a text or a whole number");
                ApiError::new(Code::InvalidEvent, problem)
            })?;
            out.push_str(&value);
            Ok(())
        })
    }
}
