//! Studies over encrypted connections, as managed databases ask for.

mod server;

use foretaste_hpo::{HpoError, storage};
use server::Server;

#[test]
fn encrypted_connections_are_made_and_certificates_checked() {
    let Some((server, certificate)) = Server::encrypted() else { return };
    let refused = |address: &str| match storage::open(address) {
        Err(HpoError::Storage { reason, .. }) => reason,
        other => panic!("{:?}", other.map(|_| "opened")),
    };
    assert!(refused(&server.address()).contains("no encryption"), "{}", refused(&server.address()));
    let encrypted = format!("{}?sslmode=require", server.address());
    let unknown = refused(&encrypted);
    assert!(unknown.contains("sslrootcert=FILE"), "{unknown}");
    let missing = refused(&format!("{encrypted}&sslrootcert=/nowhere.pem"));
    assert!(missing.contains("/nowhere.pem"), "{missing}");
    let journal = storage::open(&format!("{encrypted}&sslrootcert={}", certificate.display())).unwrap();
    assert!(journal.append("study", 0, "event").unwrap());
    assert_eq!(journal.read("study", 0).unwrap(), ["event"]);
    assert!(!journal.address().contains("sslrootcert"), "{}", journal.address());
}
