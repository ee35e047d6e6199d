//! How a request of ours is asked of a primary that knows our contexts by other names.

use super::calls::top::inherited;
use super::contexts::Contexts;
use super::primary::pairs;
use super::rename::{Unmapped, target, written};
use crate::protocol::endpoints::Route;
use crate::protocol::operation::Operation;
use crate::protocol::splice::{Fate, splice};
use crate::protocol::subject::{Context, QualifiedSubject, SubjectPrefix};

/// The calls that it takes, by their targets.
pub(super) enum Way {
    /// One call.
    One(String),
    /// One call about a subject that no other context may answer for, though the primary would look there.
    Strictly(String),
    /// A schema by its id and a subject, looked for in several places.
    ById,
    /// Those who hold an id, in the context of a subject of the primary's.
    Holders(String),
    /// The referrers of a version, as far as they are ours.
    Referrers(String),
    /// A list that may go over several contexts, put together from all of them.
    Gathered,
    /// A schema by its GUID, of which no answer says whose record it is.
    ByGuid,
    /// The KEKs of subjects that begin in some way.
    Keks,
    /// Several questions about resources, which may be those of others.
    Batch,
    /// What can be done only to a resource of which all is ours.
    IfAllOurs {
        /// What is to be done.
        target: String,
        /// The resources.
        resources: Vec<String>,
    },
    /// What has no names in it, if what it belongs to is ours.
    IfShown {
        /// What shows that.
        shown: String,
        /// What is asked for.
        target: String,
    },
    /// What may only be told if there is no such thing.
    IfNothing(String),
    /// No call at all.
    Never,
    /// The configuration of the top level, which is that of a context there.
    TopLevel(String),
}

impl Way {
    /// Finds the way. What a request names that is not mapped has none; what no arm is about is one call, and what
    /// is said to that is passed on.
    pub(super) fn of(contexts: &Contexts, operation: &Operation, body: &[u8]) -> Result<Self, Unmapped> {
        use Route as R;
        let asked = Asked { contexts, operation };
        let is_top = operation.subject.is_bare_context() && operation.subject.context.is_default();
        match operation.route {
            R::UnknownWrite => Err(Unmapped(Context::named("*"))),
            // Nobody could tell whose names are in it; that there is no such thing everyone may know.
            R::UnknownRead => Ok(Self::IfNothing(operation.target.clone())),
            R::DeleteAssociations => {
                Ok(Self::IfAllOurs { target: asked.plain(&pairs(operation)), resources: vec![asked.plain(&[])] })
            }
            // The registry does not take it, but a context that has another name there would (WIRE.md § 1.15).
            R::Register if is_top => Ok(Self::Never),
            R::Contexts | R::AssociationsByResource | R::AssociationsByName => Ok(Self::Gathered),
            R::IdsByGuid => Ok(Self::Gathered),
            R::AssociationsBySubject => asked.subject_target().map(|_| Self::Gathered),
            R::DekRead if operation.path.ends_with("/deks") => Ok(Self::Gathered),
            R::DekRead if operation.path.ends_with("/keks") && operation.query.get("subjectPrefix").is_some() => {
                Ok(Self::Keks)
            }
            R::Subjects => asked.listed(":*:"),
            R::Schemas => asked.listed(""),
            R::SchemaById | R::SchemaTextById | R::SubjectsById | R::VersionsById => asked.by_id(),
            R::SchemaByGuid => Ok(Self::ByGuid),
            R::BatchGetAssociations => Ok(Self::Batch),
            R::GlobalConfig | R::UpdateGlobalConfig | R::DeleteGlobalConfig => asked.top_config(),
            R::SubjectConfig | R::UpdateSubjectConfig | R::DeleteSubjectConfig if is_top => asked.top_config(),
            R::GlobalMode => asked.top_mode(),
            R::SubjectMode if is_top => asked.top_mode(),
            R::DeleteContext => asked.context(),
            R::CreateAssociation | R::UpdateAssociation | R::BatchMutateAssociations => asked.within_context(body),
            R::VersionText => asked.version_text(),
            R::ReferencedBy => asked.referrers(),
            R::Version | R::Lookup if asked.is_there_default() => asked.subject_target().map(Self::Strictly),
            // The rest names its context in the subject, or nothing; a route of which that is not so needs a way of its own.
            R::Version | R::Lookup | R::Versions | R::LatestWithMetadata | R::Register | R::ModifyTags => {
                asked.subject_target().map(Self::One)
            }
            R::DeleteSubject | R::DeleteVersion | R::TestCompatibility | R::TestCompatibilityAll => {
                asked.subject_target().map(Self::One)
            }
            R::SubjectConfig | R::UpdateSubjectConfig | R::DeleteSubjectConfig => asked.subject_target().map(Self::One),
            R::SubjectMode | R::UpdateSubjectMode | R::DeleteSubjectMode => asked.subject_target().map(Self::One),
            R::DekRead | R::DekWrite if operation.path.contains("{subject}") => asked.subject_target().map(Self::One),
            R::DekRead | R::DekWrite | R::UpdateGlobalMode | R::DeleteGlobalMode | R::Exporters | R::Importers => {
                Ok(Self::One(asked.plain(&pairs(operation))))
            }
            R::Root | R::RootPost | R::ClusterId | R::ServerVersion | R::Deployment | R::SchemaTypes => {
                Ok(Self::One(asked.plain(&pairs(operation))))
            }
        }
    }
}

/// A request, and the map by which its names are found.
struct Asked<'a> {
    contexts: &'a Contexts,
    operation: &'a Operation,
}

impl Asked<'_> {
    /// The target with other parameters, and no subject in the path.
    fn plain(&self, query: &[(String, String)]) -> String {
        target(self.operation.path, "", &self.operation.names, query)
    }

    /// The parameters with one of them set.
    fn with(&self, name: &str, value: String) -> Vec<(String, String)> {
        let mut query = pairs(self.operation);
        query.retain(|(own, _)| own != name);
        query.push((name.to_owned(), value));
        query
    }

    fn there(&self, local: &Context) -> Result<Context, Unmapped> {
        self.contexts.to_primary(local).ok_or_else(|| Unmapped(local.clone()))
    }

    /// A list by prefix; `all` is what it is when none is given.
    fn listed(&self, all: &str) -> Result<Way, Unmapped> {
        match SubjectPrefix::parse(self.operation.query.get("subjectPrefix").unwrap_or(all)) {
            SubjectPrefix::In(context, start) => {
                let prefix = prefix(&self.there(&context)?, &start);
                Ok(Way::One(self.plain(&self.with("subjectPrefix", prefix))))
            }
            SubjectPrefix::ContextsFrom(_) | SubjectPrefix::Everywhere(_) => Ok(Way::Gathered),
        }
    }

    fn by_id(&self) -> Result<Way, Unmapped> {
        let asked = self.operation.query.get("subject").unwrap_or_default();
        let named = QualifiedSubject::parse(asked);
        let there = self.there(&named.context)?;
        let at = |subject: String| {
            let mut query = self.with("subject", subject);
            forget_qualified(&named.context, &mut query);
            self.plain(&query)
        };
        let bare = at(there.unaliased());
        let is_list = matches!(self.operation.route, Route::SubjectsById | Route::VersionsById);
        if named.is_bare_context() && self.operation.route == Route::SchemaTextById && !there.is_default() {
            return Ok(Way::IfShown { shown: bare.replacen("/schema?", "?", 1), target: bare });
        }
        if named.is_bare_context() {
            return Ok(match self.operation.route {
                Route::SchemaById => Way::ById,
                _ if is_list => Way::Holders(there.unaliased()),
                _ => Way::One(bare),
            });
        }
        if named.context.is_default() || there.is_default() {
            return Ok(Way::ById);
        }
        let own = self.contexts.subject_there(asked)?;
        if is_list {
            return Ok(Way::Holders(own));
        }
        let own = at(own);
        Ok(match self.operation.route {
            // An alias would be followed into the primary's default context, and a text does not say whose it is
            // (WIRE.md § 3.5).
            Route::SchemaTextById => Way::IfShown { shown: own.replacen("/schema?", "?", 1), target: own },
            _ => Way::One(own),
        })
    }

    /// Whether the subject lies in the primary's default context, from which the primary goes on to all others.
    fn is_there_default(&self) -> bool {
        self.there(&self.operation.subject.context).is_ok_and(|there| there.is_default())
    }

    fn referrers(&self) -> Result<Way, Unmapped> {
        let Operation { path, names, subject_text, .. } = self.operation;
        let mut query = pairs(self.operation);
        query.retain(|(name, _)| !matches!(name.as_str(), "offset" | "limit"));
        Ok(Way::Referrers(target(path, &self.contexts.subject_there(subject_text)?, names, &query)))
    }

    fn top_config(&self) -> Result<Way, Unmapped> {
        let there = self.contexts.subject_there("")?;
        Ok(if there.is_empty() { Way::One(self.plain(&pairs(self.operation))) } else { Way::TopLevel(there) })
    }

    fn top_mode(&self) -> Result<Way, Unmapped> {
        let there = self.contexts.subject_there("")?;
        Ok(Way::One(match &*there {
            "" => self.plain(&pairs(self.operation)),
            there => target("/mode/{subject}", there, &[], &inherited()),
        }))
    }

    fn context(&self) -> Result<Way, Unmapped> {
        let local = self.operation.named_context();
        let there = self.there(&local)?;
        if there.is_default() {
            // No registry forgets it, and there is no way to say that it should.
            return Err(Unmapped(local));
        }
        // Dots alone mean something else to whatever stands on the way.
        let names = [if there.as_str() == ".." { format!(":{there}:") } else { there.as_str().to_owned() }];
        Ok(Way::One(target(self.operation.path, "", &names, &pairs(self.operation))))
    }

    /// Resources whose subjects lie in the context that a parameter names.
    fn within_context(&self, body: &[u8]) -> Result<Way, Unmapped> {
        let asked = self.operation.query.get("context").unwrap_or_default();
        let there = self.there(&QualifiedSubject::parse(asked).context)?;
        let target = self.plain(&self.with("context", format!(":{there}:")));
        // An association that is there keeps its subject, whatever is sent.
        let mut resources = resources(body);
        resources.extend(self.operation.names.first().cloned());
        let read = |id: &String| target_of_resource(id);
        Ok(Way::IfAllOurs { target, resources: resources.iter().map(read).collect() })
    }

    /// What the primary's default context does not have is looked for in all the others too (WIRE.md § 1.12), and an alias
    /// may lead anywhere: a text does not show that.
    fn version_text(&self) -> Result<Way, Unmapped> {
        let target = self.subject_target()?;
        let shown = target.replacen("/schema?", "?", 1);
        let shown = shown.strip_suffix("/schema").unwrap_or(&shown).to_owned();
        Ok(Way::IfShown { shown, target })
    }

    fn subject_target(&self) -> Result<String, Unmapped> {
        let Operation { path, names, subject, subject_text, .. } = self.operation;
        let mut query = pairs(self.operation);
        forget_qualified(&subject.context, &mut query);
        Ok(target(path, &self.contexts.subject_there(subject_text)?, names, &query))
    }
}

/// In the default context the names of references are never shown with their context (WIRE.md § 1.5).
fn forget_qualified(context: &Context, query: &mut Vec<(String, String)>) {
    if context.is_default() {
        query.retain(|(name, value)| name != "referenceFormat" || value != "qualified");
    }
}

/// The resources that a body names by their ids.
fn resources(body: &[u8]) -> Vec<String> {
    let mut ids = Vec::new();
    // What cannot be read here is refused before, or by the registry.
    let _ = splice(body, &["resourceId", "requests[].resourceId"], &mut |_, id| {
        if !id.is_empty() {
            ids.push(id.to_owned());
        }
        Fate::Kept
    });
    ids
}

fn target_of_resource(id: &str) -> String {
    target("/associations/resources/{resource}", "", &[id.to_owned()], &[])
}

/// What selects the subjects of one context that start with a text.
fn prefix(context: &Context, start: &str) -> String {
    written(context, start)
}
