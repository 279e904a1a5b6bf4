//! What `.ci/release` makes: everything that an installation needs, and nothing that it would have to build. The tests in
//! `deployed.rs` deploy it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::local;
use crate::local::deployed::{architecture, release};

/// Every file below the folder, by its path from there.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let below = entries.flat_map(|path| match path.is_dir() {
        true => files(&path)
            .into_iter()
            .map(|file| Path::new(path.file_name().expect("a name")).join(file))
            .collect(),
        false => vec![PathBuf::from(path.file_name().expect("a name"))],
    });
    below.collect()
}

#[test]
fn a_release_has_all_that_an_installation_needs_and_says_the_sum_of_each_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let dist = folder.path().join("dist");
    release(Path::new(env!("CARGO_BIN_EXE_launch")), &dist).expect("a release");
    let zip = format!("functions-{}.zip", architecture());
    let template = format!("template-{}.yaml", architecture());

    let sums = fs::read_to_string(dist.join("SHA256SUMS")).expect("the sums");
    let mut summed = BTreeSet::new();
    for line in sums.lines() {
        let (sum, file) = line.split_once("  ").expect("a sum and a file");
        let bytes = fs::read(dist.join(file)).expect("a file that is listed");
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sum, hex, "{file}");
        summed.insert(PathBuf::from(file));
    }
    let mut made = files(&dist);
    made.remove(Path::new("SHA256SUMS"));
    assert_eq!(made, summed);

    let text = fs::read_to_string(dist.join(template)).expect("the template");
    let version = env!("CARGO_PKG_VERSION");
    for said in [&format!("elephant-launch {version}"), &format!("CodeUri: {zip}\n")] {
        assert!(text.contains(said), "the template does not say {said}");
    }
    for left in ["BuildMethod", "CodeUri: ..", "[arm64, x86_64]"] {
        assert!(!text.contains(left), "the template still says {left}");
    }

    // The module looks for the zip beside itself.
    let main = fs::read_to_string(dist.join("terraform/main.tf")).expect("the module");
    assert!(main.contains("\"${path.module}/functions-${var.architecture}.zip\""), "{main}");
    let beside = fs::read(dist.join("terraform").join(&zip)).expect("the zip beside the module");
    assert!(beside == fs::read(dist.join(&zip)).expect("the zip"), "it is the same one");
    let module = files(&local::top().join("infra/terraform"));
    assert!(module.iter().all(|file| dist.join("terraform").join(file).exists()), "{module:?}");
}
