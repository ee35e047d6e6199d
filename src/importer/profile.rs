//! Finds out which shape the primary's answers have (WIRE.md § 8.4, § 12).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Core;
use super::items;
use super::pass::PassError;
use super::poll::Poll;
use super::reading::Reading;
use crate::protocol::schema::Version;
use crate::protocol::shape::Profile;
use crate::protocol::subject::QualifiedSubject;
use crate::replica::Change;
use crate::upstream::ProfileChoice;

const UNKNOWN_PROPERTIES: HeaderName = HeaderName::from_static("confluent-accept-unknown-properties");

/// A version that the primary showed.
type Sample = (QualifiedSubject, Arc<Version>);

impl Core {
    /// Takes over the profile that is configured or that the primary shows.
    pub(super) async fn take_profile(&self, poll: &Poll, reading: &Reading) -> Result<u64, PassError> {
        let sample =
            reading.shown.iter().find_map(|shown| Some((shown.subject.clone(), shown.versions.first()?.clone())));
        self.take_profile_of(poll, sample).await
    }

    /// Looks at the first version that the replica holds, if nothing is known of the profile yet.
    pub(super) async fn find_profile(&self, poll: &Poll) -> Result<(), PassError> {
        let held = self.replica.snapshot();
        if held.profile().is_some() {
            return Ok(());
        }
        let sample = held.contexts().find_map(|(context, state)| {
            let (name, subject) = state.subjects().next()?;
            Some((
                QualifiedSubject { context: context.clone(), subject: name.clone() },
                subject.versions.first()?.clone(),
            ))
        });
        self.take_profile_of(poll, sample).await.map(drop)
    }

    async fn take_profile_of(&self, poll: &Poll, sample: Option<Sample>) -> Result<u64, PassError> {
        let ticket = self.replica.ticket();
        let profile = match self.profile {
            ProfileChoice::Confluent7 => Some(Profile::Confluent7),
            ProfileChoice::Confluent8 => Some(Profile::Confluent8),
            ProfileChoice::Cloud => Some(Profile::Cloud),
            ProfileChoice::Auto => self.detect(poll, sample).await?,
        };
        let Some(profile) = profile.filter(|profile| self.replica.snapshot().profile() != Some(*profile)) else {
            return Ok(0);
        };
        tracing::info!(profile = profile.as_str(), "the shape of the primary's answers is known");
        self.replica.apply_reading(vec![Change::Profile(profile)], ticket).await?;
        Ok(1)
    }

    async fn detect(&self, poll: &Poll, sample: Option<Sample>) -> Result<Option<Profile>, PassError> {
        match sample {
            Some((_, version)) if version.guid.is_none() => Ok(Some(Profile::Confluent7)),
            Some((subject, version)) => self.compare(poll, &subject, version.version).await,
            None => self.ask_release(poll).await,
        }
    }

    /// Asks for a version as an old client does: Cloud leaves out what such a client may not know.
    async fn compare(
        &self,
        poll: &Poll,
        subject: &QualifiedSubject,
        version: i32,
    ) -> Result<Option<Profile>, PassError> {
        let as_old_client = HeaderMap::from_iter([(UNKNOWN_PROPERTIES, HeaderValue::from_static("false"))]);
        let answer = match poll.version(subject, version, as_old_client).await {
            Ok(answer) => answer,
            Err(error) if error.status().is_some() => None,
            Err(error) => return Err(error.into()),
        };
        let item = answer.and_then(|answer| items::read(&answer.body).ok());
        Ok(item.map(|item| if item.version.guid.is_some() { Profile::Confluent8 } else { Profile::Cloud }))
    }

    /// The release, while there is no version to look at; one that does not say is taken for the
    /// newest until a version shows otherwise.
    async fn ask_release(&self, poll: &Poll) -> Result<Option<Profile>, PassError> {
        #[derive(serde::Deserialize)]
        struct Release {
            version: String,
        }
        let answer = poll.fact("/v1/metadata/version").await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.status().is_some() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let release = serde_json::from_slice::<Release>(&answer.body).ok();
        let major = release.and_then(|release| release.version.split('.').next()?.parse::<u32>().ok());
        Ok(major.map(|major| if major >= 8 { Profile::Confluent8 } else { Profile::Confluent7 }))
    }
}
