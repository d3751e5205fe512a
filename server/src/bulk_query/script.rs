//! The script of an `update` clause: its body, with the names that the query gives to documents in front of it.

use crate::error::ServerError;
use magpie_query::QueryError;
use magpie_query::ast::{Clause, LoadFrom, PathIndex, Query, Value};
use magpie_store::json::Json;

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
            let message = format!("LOAD clause requires an alias but got: {}", item.from);
            return Err(invalid(message, query));
        };
        let id = match &item.from {
            LoadFrom::Field(path) => {
                if let Some(part) = path.parts.iter().find(|part| part.index != PathIndex::None) {
                    return Err(QueryError::NotSupported {
                        feature: format!("load of '{}[..]' before an update", part.name),
                        line: item.position.line,
                        column: item.position.column,
                    }
                    .into());
                }
                let names: Vec<&str> = path.parts.iter().map(|part| part.name.as_str()).collect();
                member(&names, alias.as_deref())
            }
            LoadFrom::Value(Value::Text(text)) => {
                let names: Vec<&str> = text.split('.').collect();
                format!("{} ?? {}", member(&names, alias.as_deref()), Json::from(text.as_str()))
            }
            LoadFrom::Value(value) => value.to_string(),
        };
        script.push_str(&format!("const {name} = load({id}); "));
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

/// A member of the document, whose names may begin with that of the document.
fn member(names: &[&str], alias: Option<&str>) -> String {
    let behind = match names.split_first() {
        Some((first, rest)) if alias == Some(*first) => rest,
        _ => names,
    };
    let members: String = behind.iter().map(|name| format!("[{}]", Json::from(*name))).collect();
    format!("this{members}")
}

fn invalid(message: String, query: &Query) -> ServerError {
    QueryError::Invalid { message, query: query.to_string().into(), parameters: None }.into()
}
