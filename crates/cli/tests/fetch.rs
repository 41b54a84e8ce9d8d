//! Fetching against a server on this machine: licence, download, resumption, checksums.

use foretaste::fetch;
use foretaste_data::Manifest;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Serves `bytes` to every request, honouring `Range`; sends at most `limit` bytes per response.
/// Returns the address and the list of first bytes requested.
fn serve(bytes: Vec<u8>, limit: usize) -> (String, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/tiny.zip", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut start = 0;
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap().to_lowercase();
                if let Some(range) = line.strip_prefix("range: bytes=") {
                    start = range.trim_end_matches('-').parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            log.lock().unwrap().push(start);
            let rest = &bytes[start..];
            let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                rest.len()
            );
            let _ = stream.write_all(&rest[..rest.len().min(limit)]);
        }
    });
    (address, asked)
}

fn archive() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("tiny/ratings.dat", options).unwrap();
    for i in 0..3_000 {
        writeln!(zip, "{}::{}::3::978300760", i / 10, i % 10).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn manifest(url: &str, bytes: &[u8], sha256: &str) -> Manifest {
    let text = format!(
        "name = \"tiny\"\ntitle = \"Tiny\"\nhomepage = \"here\"\nlicence = \"Do no harm.\"\nredistribution = \
         true\ncitation = \"none\"\nformat = \"movielens-dat\"\nfiles = [\"ratings.dat\"]\nscale = {{ min = \
         1, max = 5, step = 1 }}\ncounts = {{ ratings = 3000, users = 300, items = 10 }}\n[archive]\nurl \
         = \"{url}\"\nbytes = {}\nsha256 = \"{sha256}\"\nfolder = \"tiny\"\n",
        bytes.len()
    );
    toml::from_str(&text).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn fetches_checks_and_unpacks() {
    let bytes = archive();
    let (url, asked) = serve(bytes.clone(), usize::MAX);
    let manifest = manifest(&url, &bytes, &foretaste_data::hex(&Sha256::digest(&bytes)));
    let home = tempfile::tempdir().unwrap();
    let refused = fetch(&manifest, home.path(), false, false, None).unwrap_err().to_string();
    assert!(refused.contains("Do no harm.") && refused.contains("--accept-licence"), "{refused}");
    assert!(asked.lock().unwrap().is_empty(), "nothing is asked for before the licence is accepted");
    let folder = fetch(&manifest, home.path(), true, false, None).unwrap();
    let (table, _, differences) = manifest.load(&folder).unwrap();
    assert_eq!((table.len(), differences), (3_000, Vec::<String>::new()));
    assert_eq!(names(home.path()), ["tiny", "tiny.zip"]);
    fetch(&manifest, home.path(), true, false, None).unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1, "a whole archive is not asked for again");
}

#[test]
fn a_broken_download_goes_on() {
    let bytes = archive();
    let (url, asked) = serve(bytes.clone(), 20_000);
    let manifest = manifest(&url, &bytes, &foretaste_data::hex(&Sha256::digest(&bytes)));
    let home = tempfile::tempdir().unwrap();
    let mut tries = 0;
    while let Err(error) = fetch(&manifest, home.path(), true, false, None) {
        assert!(error.to_string().contains("the same command resumes it"), "{error}");
        tries += 1;
        assert!(tries < 10, "every try brings more");
    }
    let asked = asked.lock().unwrap().clone();
    assert!(
        asked.len() > 2 && asked[1] > 0 && asked.is_sorted(),
        "each try goes on where the last one stood: {asked:?}"
    );
    assert_eq!(names(home.path()), ["tiny", "tiny.zip"]);
}

#[test]
fn a_wrong_archive_is_refused_and_removed() {
    let bytes = archive();
    let (url, _) = serve(bytes.clone(), usize::MAX);
    let manifest = manifest(&url, &bytes, &"0".repeat(64));
    let home = tempfile::tempdir().unwrap();
    let error = fetch(&manifest, home.path(), true, false, None).unwrap_err().to_string();
    assert!(error.contains("its SHA-256 is") && error.contains("it was removed"), "{error}");
    assert!(names(home.path()).is_empty());
}
