//! Files for one test, and what becomes of them.

use std::path::{Path, PathBuf};

use schema_outpost::config::{self, Config, Loaded};
use tempfile::TempDir;

/// The least that can be said.
pub const MINIMAL: &str = "primary:\n  urls: [https://registry.example]\n";

pub struct Folder(pub TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    }
}

pub fn load(path: Option<&Path>, variables: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::load(path, variables).map_err(|problems| problems.to_string().lines().map(str::to_owned).collect())
}

/// The problems of a file, each without the folder that the file is in.
pub fn problems_of(name: &str, content: &str) -> Vec<String> {
    let folder = Folder::new();
    let path = folder.write(name, content);
    let problems = load(Some(&path), &[]).expect_err("there is something wrong");
    let prefix = format!("{}/", folder.0.path().display());
    problems.into_iter().map(|problem| problem.replace(&prefix, "")).collect()
}

pub fn taken(name: &str, content: &str, variables: &[(&str, &str)]) -> Config {
    let folder = Folder::new();
    let path = folder.write(name, content);
    load(Some(&path), variables).unwrap_or_else(|problems| panic!("{problems:#?}")).config
}
