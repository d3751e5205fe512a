//! The folders of databases on disk.
//!
//! `DATA/databases/<folder>/` holds one database: `record.json` (its name and whether it is disabled) and `store/`
//! (its rows). A folder's name is made from the database's name by a safe encoding, never the raw name, and ends in
//! random digits, so that a database that was deleted and made again never shares files with its predecessor, whose
//! last requests may still be reading. A folder is deleted in two steps: its record is renamed (then the database is
//! gone, whatever happens), and the files go when the last user lets go of them, or at the next start.

use crate::error::ServerError;
use crate::limits::DATABASE_NAME_CHARS_MAX;
use crate::random;
use magpie_store::json::{self, Json, Object};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

const RECORD: &str = "record.json";
const RECORD_NEW: &str = "record.json.new";
/// A deleted database whose files may go.
const RECORD_DELETED: &str = "record.deleted.json";
/// A database that was taken from the list but whose files stay (a soft delete).
const RECORD_DETACHED: &str = "record.detached.json";
const STORE: &str = "store";

/// What is remembered of a database besides its rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    /// The name as it was given.
    pub(crate) name: String,
    /// Whether it refuses requests.
    pub(crate) disabled: bool,
    /// The `Settings` of its creation, kept and shown.
    pub(crate) settings: Object,
}

/// One database's folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    remove_when_dropped: AtomicBool,
}

/// Checks a database's name.
///
/// # Errors
/// [`ServerError::DatabaseName`] when it is empty, too long, or has other characters than letters, digits, `_ - .`.
pub(crate) fn check_name(name: &str) -> Result<(), ServerError> {
    let reason = if name.is_empty() {
        "Name cannot be null or empty.".to_owned()
    } else if name.chars().count() > DATABASE_NAME_CHARS_MAX {
        format!(
            "The name '{}..' is longer than {DATABASE_NAME_CHARS_MAX} characters.",
            name.chars().take(40).collect::<String>()
        )
    } else if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        format!(
            "The name '{name}' is not permitted. If a name contains '.' character then it must be surrounded by other \
             allowed characters."
        )
    } else if name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c)) {
        return Ok(());
    } else {
        format!(
            "The name '{name}' is not permitted. Only letters, digits and characters ('_', '-', '.') are allowed."
        )
    };
    Err(ServerError::DatabaseName { reason })
}

/// The start of a folder's name: lower-case letters, digits, `_` and `-` stay, other bytes become `=XX`. Cut to 96
/// bytes: the random digits behind it tell folders apart, the record tells the name.
fn encode(name: &str) -> String {
    let mut text = String::new();
    for byte in name.to_lowercase().bytes().take(96) {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("={byte:02x}"));
        }
    }
    text.truncate(96);
    text
}

impl Folder {
    /// Makes the folder of a new database, or takes up the one that a soft delete left behind.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn create(databases: &Path, record: &Record) -> Result<Self, ServerError> {
        let failed = |cause: io::Error| files_error(&record.name, &cause);
        if let Some(folder) = Self::detached(databases, &record.name) {
            folder.write_record(record)?;
            fs::remove_file(folder.path.join(RECORD_DETACHED)).map_err(failed)?;
            return Ok(folder);
        }
        let path = databases.join(format!("{}.{}", encode(&record.name), random::folder_suffix()?));
        fs::create_dir(&path).map_err(failed)?;
        let folder = Self { path, remove_when_dropped: AtomicBool::new(false) };
        folder.write_record(record)?;
        Ok(folder)
    }

    /// The folder that a soft delete of this name left behind.
    fn detached(databases: &Path, name: &str) -> Option<Self> {
        let entries = fs::read_dir(databases).ok()?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let path = paths.find(|path| {
            let record = read_record(&path.join(RECORD_DETACHED));
            record.is_ok_and(|record| record.name.to_lowercase() == name.to_lowercase())
        })?;
        Some(Self { path, remove_when_dropped: AtomicBool::new(false) })
    }

    /// The databases that are there. Removes what deleted ones left.
    ///
    /// # Errors
    /// When the disk refuses, or a record is damaged.
    pub(crate) fn list(databases: &Path) -> Result<Vec<(Self, Record)>, ServerError> {
        let all = |cause: io::Error| files_error("*", &cause);
        let mut found = Vec::new();
        for entry in fs::read_dir(databases).map_err(all)? {
            let path = entry.map_err(all)?.path();
            if path.join(RECORD).is_file() {
                let record = read_record(&path.join(RECORD))?;
                found.push((Self { path, remove_when_dropped: AtomicBool::new(false) }, record));
            } else if path.join(RECORD_DELETED).is_file() {
                drop(Self { path, remove_when_dropped: AtomicBool::new(true) });
            } else if !path.join(RECORD_DETACHED).is_file() {
                tracing::warn!(folder = %path.display(), "this folder has no record and is left alone");
            }
        }
        Ok(found)
    }

    /// Where the rows are.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// Writes the record so that a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write_record(&self, record: &Record) -> Result<(), ServerError> {
        let mut text = Object::new();
        text.insert("DatabaseName", record.name.as_str());
        text.insert("Disabled", record.disabled);
        text.insert("Settings", record.settings.clone());
        let write = || -> io::Result<()> {
            let new = self.path.join(RECORD_NEW);
            let mut file = File::create(&new)?;
            file.write_all(Json::Object(text).to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, self.path.join(RECORD))?;
            self.sync()
        };
        write().map_err(|cause| files_error(&record.name, &cause))
    }

    /// Takes the database from the list for good. With `remove_files` they go when the last user lets go of them.
    ///
    /// # Errors
    /// When the disk refuses; the database is then still there.
    pub(crate) fn delete(&self, name: &str, remove_files: bool) -> Result<(), ServerError> {
        let to = if remove_files { RECORD_DELETED } else { RECORD_DETACHED };
        fs::rename(self.path.join(RECORD), self.path.join(to))
            .and_then(|()| self.sync())
            .map_err(|cause| files_error(name, &cause))?;
        self.remove_when_dropped.store(remove_files, Ordering::Release);
        Ok(())
    }

    /// The size of all its files, in bytes; what cannot be read counts as nothing.
    pub(crate) fn size_bytes(&self) -> u64 {
        let Ok(entries) = fs::read_dir(self.store()) else { return 0 };
        entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()?;
        self.path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.remove_when_dropped.load(Ordering::Acquire)
            && let Err(cause) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(folder = %self.path.display(), %cause, "the files of a deleted database stay for now");
        }
    }
}

fn read_record(path: &Path) -> Result<Record, ServerError> {
    let shown = path.display().to_string();
    let text = fs::read(path).map_err(|cause| files_error(&shown, &cause))?;
    let damaged = |cause: &str| ServerError::DatabaseFiles { name: shown.clone(), cause: cause.to_owned() };
    let record = json::parse(&text).map_err(|error| damaged(&error.to_string()))?;
    let Some(name) = record.get("DatabaseName").and_then(Json::as_str) else {
        return Err(damaged("the record has no DatabaseName"));
    };
    Ok(Record {
        name: name.to_owned(),
        disabled: record.get("Disabled").and_then(Json::as_bool).unwrap_or(false),
        settings: record.get("Settings").and_then(Json::as_object).cloned().unwrap_or_default(),
    })
}

fn files_error(name: &str, cause: &io::Error) -> ServerError {
    ServerError::DatabaseFiles { name: name.to_owned(), cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::{Folder, Record, check_name, encode};
    use magpie_store::json::Object;

    #[test]
    fn names_have_letters_digits_and_three_signs() {
        for name in ["a", "Events-2026_x.y", "ünïcode", &"x".repeat(128)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a/b", "../x", "a?", "a\\b", "a\0", "..", ".a", "a.", &"x".repeat(129)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn folder_names_are_safe_whatever_the_name() {
        assert_eq!(encode(".."), "=2e=2e");
        assert_eq!(encode("Évents"), "=c3=a9vents");
        assert!(encode(&"é".repeat(128)).len() <= 96);
    }

    #[test]
    fn a_record_comes_back_and_a_deleted_folder_goes() {
        let home = tempfile::tempdir().unwrap();
        let record = Record { name: "Ev.1".into(), disabled: true, settings: Object::new() };
        let folder = Folder::create(home.path(), &record).unwrap();
        std::fs::create_dir(folder.store()).unwrap();
        let listed = Folder::list(home.path()).unwrap();
        assert_eq!(listed[0].1, record);
        folder.delete("Ev.1", true).unwrap();
        drop(folder);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_soft_delete_keeps_the_files_for_the_next_database_of_the_name() {
        let home = tempfile::tempdir().unwrap();
        let record = Record { name: "Ev".into(), disabled: false, settings: Object::new() };
        let first = Folder::create(home.path(), &record).unwrap();
        first.delete("Ev", false).unwrap();
        assert!(Folder::list(home.path()).unwrap().is_empty());
        let second = Folder::create(home.path(), &Record { name: "EV".into(), ..record }).unwrap();
        assert_eq!(first.store(), second.store());
    }
}
