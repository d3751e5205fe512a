//! What a field path of a query finds in a document, an entry or a result, as terms.

use crate::ast::{FieldPath, PathIndex};
pub(crate) use magpie_indexes::auto::path_of as steps_of_text;
pub(crate) use magpie_indexes::terms::value::{Step, Term, fold, number_text};
use magpie_indexes::terms::value::{any_at, any_member};
use magpie_store::json::Object;

/// The steps of a path, without the alias of `from`.
pub(crate) fn steps(path: &FieldPath) -> Vec<Step> {
    let mut steps = Vec::with_capacity(path.parts.len());
    for part in &path.parts {
        steps.push(Step::Member(part.name.clone()));
        match part.index {
            PathIndex::None => {}
            PathIndex::Each => steps.push(Step::Each),
            PathIndex::At(index) => steps.push(Step::At(index)),
        }
    }
    steps
}

/// What a path is applied to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The id of the document, if there is one.
    pub(crate) id: Option<&'a str>,
    /// The fields of the document, index entry or result.
    pub(crate) fields: &'a Object,
    /// What `@metadata` is.
    pub(crate) metadata: Option<&'a Object>,
}

/// Which value of a subject is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldRef {
    Id,
    Path(Vec<Step>),
}

impl FieldRef {
    /// Whether `test` holds for any term that this field has in `subject`.
    pub(crate) fn any(&self, subject: &Subject<'_>, test: &mut dyn FnMut(&Term<'_>) -> bool) -> bool {
        match self {
            Self::Id => subject.id.is_some_and(|id| test(&Term::Text(id))),
            Self::Path(steps) => match (subject.metadata, steps.as_slice()) {
                (Some(metadata), [Step::Member(first), rest @ ..]) if first == "@metadata" => match rest {
                    [] => test(&Term::Object),
                    // The id is asked for with id(); neither is in the metadata that is indexed.
                    [Step::Member(name), ..] if name == "@id" || name == "@change-vector" => false,
                    [Step::Member(name), rest @ ..] => any_member(metadata, name, rest, test),
                    _ => false,
                },
                _ => any_at(subject.fields, steps, test),
            },
        }
    }
}
