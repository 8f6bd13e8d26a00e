//! The word count program, as a user runs it.
#![allow(clippy::unwrap_used)] // clippy exempts test functions, not their helpers

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Creates a tree with a file for every way of reading. Only words such as `Straße` and `word…`
/// count; `hidden` and `skipped` never do.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    // Contains characters of one to four bytes, so that the ends of chunks fall within each kind.
    let large: String = (0..400)
        .map(|index| {
            format!(
                "Straße 日本語{index} 𝒳{} — word{},\n",
                "é".repeat(index % 50),
                index % 7
            )
        })
        .collect();
    write("large.txt", large.as_bytes());
    write("long word.txt", "ab".repeat(5_000).as_bytes());
    for index in 0..20 {
        write(
            &format!("small/{index}.txt"),
            format!("word{index} common").as_bytes(),
        );
    }
    write("empty", b"");
    write(".hidden file", b"common");
    write("latin-1.txt", b"skipped caf\xe9");
    write(
        "large latin-1.txt",
        &[large.as_bytes(), b"skipped \xe9"].concat(),
    );
    write(".git/config", b"hidden");
    write("target/debug/out.txt", b"hidden");
    write("crate/target/out.txt", b"hidden");
    tree
}

fn wordcount(path: &Path, options: &[&str]) -> (Output, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_wordcount"))
        .arg(path)
        .args(["--lease-ttl", "5s"])
        .args(options)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

#[test]
fn the_grid_counts_as_a_single_thread_does() {
    let tree = tree();
    for chunk_bytes in ["7", "64", "1000", "1048576"] {
        let (output, stdout, stderr) = wordcount(tree.path(), &["--chunk-bytes", chunk_bytes]);
        assert!(output.status.success(), "{stdout}{stderr}");
        let last = stdout.lines().last().unwrap();
        assert!(last.starts_with("verified: "), "{stdout}");
        assert!(
            last.ends_with(" distinct, equal to a single-threaded count"),
            "{stdout}"
        );
        let mut lines = stdout
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        assert!(lines.any(|line| line == ["1", "400", "Straße"]), "{stdout}");
        assert!(
            stdout.contains("files: 24 (2 more are not UTF-8)"),
            "{stdout}"
        );
        assert!(
            !stdout.contains("hidden") && !stdout.contains("skipped"),
            "{stdout}"
        );
    }
}

#[test]
fn files_without_a_word_are_counted_too() {
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("latin-1"), b"caf\xe9").unwrap();
    for chunk_bytes in ["1", "100"] {
        let options = ["--chunk-bytes", chunk_bytes, "--peers", "1"];
        let (output, stdout, stderr) = wordcount(tree.path(), &options);
        assert!(output.status.success(), "{stdout}{stderr}");
        assert!(
            stdout.contains("files: 0 (1 more are not UTF-8)"),
            "{stdout}"
        );
    }
}

#[test]
fn a_leader_that_is_stopped_midway_is_followed_by_one_that_continues() {
    let tree = tree();
    let options = [
        "--chunk-bytes",
        "256",
        "--kill-leader-at",
        "50%",
        "--repeat",
        "20",
    ];
    let (output, stdout, stderr) = wordcount(tree.path(), &options);
    assert!(output.status.success(), "{stdout}{stderr}");
    let runs = |text: &str, part: &str| text.lines().filter(|line| line.contains(part)).count();
    assert_eq!(runs(&stdout, "verified: "), 20, "{stdout}");
    assert_eq!(runs(&stderr, "leader 1 is ended at "), 20, "{stderr}");
    assert_eq!(runs(&stderr, "leader 2 took over: "), 20, "{stderr}");
    assert_eq!(runs(&stderr, "ignored, 0 counted twice"), 20, "{stderr}");
    for line in stderr.lines().filter(|line| line.contains("took over")) {
        let numbers: Vec<u64> = line
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let (done, remain) = (numbers[1], numbers[2]);
        // Chunks that were done are not read again; some more were under way.
        assert!(done >= (done + remain) / 2, "{line}");
        assert!(remain > 0, "{line}");
    }
}

#[test]
fn mistakes_are_reported_with_exit_code_2() {
    let tree = tempfile::tempdir().unwrap();
    let missing = tree.path().join("missing");
    for (path, text) in [(&*missing, "missing"), (tree.path(), "no files")] {
        let (output, _, stderr) = wordcount(path, &[]);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    }
    let (output, _, stderr) = wordcount(tree.path(), &["--kill-leader-at", "120%"]);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
}
