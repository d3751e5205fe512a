//! The script of an `update` clause: its body, with the names that the query gives to documents in front of it.

use crate::error::ServerError;
use magpie_query::QueryError;
use magpie_query::ast::{Clause, PathIndex, Query};

/// The script of an `update` clause, and the functions that the query declares, taken out of the query together with
/// its `load` clause.
///
/// # Errors
/// [`QueryError::NotSupported`] for a path of `load` with brackets, [`QueryError::Invalid`] for one without an alias.
pub(super) fn of(query: &mut Query, update: &Clause<String>) -> Result<(String, String), ServerError> {
    let mut script = String::new();
    let alias = query.from.alias.clone();
    if let Some(alias) = &alias {
        script.push_str(&format!("const {alias} = this; "));
    }
    for item in std::mem::take(&mut query.load) {
        let Some(name) = &item.alias else {
            let message = format!("LOAD clause requires an alias but got: {}", item.path.text());
            return Err(invalid(message, query));
        };
        let mut parts = item.path.parts.iter();
        if let Some(part) = item.path.parts.iter().find(|part| part.index != PathIndex::None) {
            return Err(QueryError::NotSupported {
                feature: format!("load of '{}[..]' before an update", part.name),
                line: item.position.line,
                column: item.position.column,
            }
            .into());
        }
        let own = item.path.parts.first().map(|part| part.name.as_str());
        if alias.is_some() && own == alias.as_deref() {
            parts.next();
        }
        let members: String =
            parts.map(|part| format!("[{}]", magpie_store::json::Json::from(part.name.as_str()))).collect();
        script.push_str(&format!("const {name} = load(this{members}); "));
    }
    let body = update.content.trim();
    let body = body.strip_prefix('{').and_then(|body| body.strip_suffix('}')).unwrap_or(body);
    script.push_str(body);
    let declarations: Vec<String> = std::mem::take(&mut query.declarations)
        .into_iter()
        .map(|declaration| {
            // The text begins with `declare`, in any case.
            declaration.text.get("declare".len()..).unwrap_or("").to_owned()
        })
        .collect();
    Ok((script, declarations.join("\n")))
}

fn invalid(message: String, query: &Query) -> ServerError {
    QueryError::Invalid { message, query: query.to_string().into(), parameters: None }.into()
}
