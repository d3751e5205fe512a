//! Dumps that lie on the server's machine: `admin/smuggler/import?file=` and `admin/smuggler/import-dir?dir=`.
//!
//! Whoever reaches the server must not be able to read any file of its machine by importing it. So this is off unless the
//! operator has named a folder (`magpie serve --import-dir-root`), and what is asked for must lie in it once all symbolic
//! links are followed. Of anything else the answer does not even tell whether it exists.

use crate::answer;
use crate::dump::Intake;
use crate::dump::counts::Counts;
use crate::dump::error::DumpError;
use crate::dump::import::{Import, Target};
use crate::dump::options::DumpOptions;
use crate::error::ServerError;
use crate::import_thread::Importing;
use crate::limits::{IMPORT_FILES_MAX, UNPACK_STEP_BYTES};
use crate::request::DatabaseRequest;
use axum::http::StatusCode;
use axum::response::Response;
use magpie_store::json::Object;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The names of files in a folder that are dumps end with one of these.
const ENDS: [&str; 2] = ["ravendbdump", "dump"];

/// What a request names.
enum Named {
    File(PathBuf),
    Folder(PathBuf),
}

/// `GET admin/smuggler/import?file=&operationId=`
pub(crate) async fn import_file(request: DatabaseRequest) -> Result<Response, ServerError> {
    let text = |key: &str| request.query.get(key).filter(|text| !text.is_empty());
    match (text("file"), text("url")) {
        (Some(file), _) => {
            let named = Named::File(PathBuf::from(file));
            import(request, named).await
        }
        (None, Some(_)) => {
            Err(ServerError::NotSupported { what: "fetching a dump from another address (url=)".to_owned() })
        }
        (None, None) => Err(ServerError::ParameterMissing { name: "file" }),
    }
}

/// `GET admin/smuggler/import-dir?dir=&operationId=`: all dumps of a folder in the order of their names.
pub(crate) async fn import_folder(request: DatabaseRequest) -> Result<Response, ServerError> {
    let named = Named::Folder(PathBuf::from(request.query.required("dir")?));
    import(request, named).await
}

async fn import(request: DatabaseRequest, named: Named) -> Result<Response, ServerError> {
    let Some(root) = request.app.config().import_root.clone() else {
        return Err(ServerError::ImportFolderOff);
    };
    let importing = Importing::start(&request, move |target| import_files(target, &root, &named))?;
    Ok(answer::json(StatusCode::OK, importing.ended().await?.to_json()))
}

fn import_files(target: Target<'_>, root: &Path, named: &Named) -> Result<Counts, ServerError> {
    let mut counts = Counts::new();
    for path in files(root, named)? {
        let name = path.display().to_string();
        match import_one(target, &path) {
            Ok(read) => {
                counts.say(format!("{name}: {}", read.written()));
                counts.merge(read);
            }
            Err(cause) => {
                let before = counts.written();
                return Err(DumpError::File { name, cause: Box::new(cause), before }.into());
            }
        }
    }
    Ok(counts)
}

/// The files that are named, in the order in which they are to be read.
fn files(root: &Path, named: &Named) -> Result<Vec<PathBuf>, ServerError> {
    // A root that is not there allows nothing.
    let root = root.canonicalize().map_err(|_| ServerError::ImportFolderOff)?;
    match named {
        Named::File(path) => {
            let path = inside(&root, path)?;
            if !path.is_file() {
                return Err(DumpError::NoFile { path: path.display().to_string(), is_folder: false }.into());
            }
            Ok(vec![path])
        }
        Named::Folder(path) => {
            let path = inside(&root, path)?;
            let no_folder = || DumpError::NoFile { path: path.display().to_string(), is_folder: true };
            let mut files = Vec::new();
            for entry in fs::read_dir(&path).map_err(|_| no_folder())? {
                let file = entry.map_err(|_| no_folder())?.path();
                let end = file.extension().and_then(|end| end.to_str()).unwrap_or_default();
                if !ENDS.iter().any(|name| name.eq_ignore_ascii_case(end)) || !file.is_file() {
                    continue;
                }
                if files.len() >= IMPORT_FILES_MAX {
                    return Err(DumpError::TooManyFiles { path: path.display().to_string() }.into());
                }
                files.push(inside(&root, &file)?);
            }
            files.sort();
            Ok(files)
        }
    }
}

/// The path with all links followed, if it lies in the root; relative ones are meant from there.
fn inside(root: &Path, path: &Path) -> Result<PathBuf, ServerError> {
    let full = root.join(path);
    let refused = || ServerError::OutsideImportFolder { path: path.display().to_string() };
    match full.canonicalize() {
        Ok(real) if real.starts_with(root) => Ok(real),
        Ok(_) => Err(refused()),
        // What is missing may be told only where looking is allowed.
        Err(_) => match full.parent().map(Path::canonicalize) {
            Some(Ok(parent)) if parent.starts_with(root) => {
                Err(DumpError::NoFile { path: full.display().to_string(), is_folder: false }.into())
            }
            _ => Err(refused()),
        },
    }
}

fn import_one(target: Target<'_>, path: &Path) -> Result<Counts, ServerError> {
    let broken = |error: io::Error| ServerError::from(DumpError::Receiving(error.to_string()));
    let mut file = File::open(path).map_err(broken)?;
    let mut import = Box::new(Import::new(target, DumpOptions::read(&Object::new())?)?);
    let mut space = vec![0; UNPACK_STEP_BYTES];
    let mut feed = || loop {
        let read = file.read(&mut space).map_err(broken)?;
        match space.get(..read) {
            None | Some([]) => return import.finish(),
            Some(piece) => import.feed(piece)?,
        }
    };
    let end = feed();
    end.map_err(|cause| import.stopped(cause))
}

#[cfg(test)]
mod tests {
    use super::inside;
    use std::fs;

    #[test]
    fn only_what_lies_in_the_root_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("root");
        fs::create_dir_all(root.join("in")).unwrap();
        fs::write(root.join("in/a.dump"), "x").unwrap();
        fs::write(folder.path().join("b.dump"), "x").unwrap();
        let found = |path: &str| inside(&root, path.as_ref());
        assert_eq!(found("in/a.dump").unwrap(), root.join("in/a.dump"));
        assert_eq!(found(root.join("in").to_str().unwrap()).unwrap(), root.join("in"));
        assert!(found("in/../in/a.dump").is_ok() && found("").is_ok());
        let texts =
            ["../b.dump", "../none.dump", "/etc/passwd", "in/../../b.dump", "../rootlike"].map(|path| {
                let text = found(path).unwrap_err().to_string();
                text.replace(path, "-")
            });
        assert!(texts.iter().all(|text| text.contains("outside") && *text == texts[0]), "{texts:?}");
        assert!(found("in/none.dump").unwrap_err().to_string().contains("no file"));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(folder.path(), root.join("link")).unwrap();
            assert!(found("link/b.dump").unwrap_err().to_string().contains("outside"));
        }
    }
}
