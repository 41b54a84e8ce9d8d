//! Object stores by address: whatever `object_store` can open, with its settings from the environment.

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use object_store::ObjectStore;
use std::sync::Arc;
use url::Url;

/// Local files, and every store that an address names (`s3://bucket/…`); opened when first asked for.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    known: DefaultObjectStoreRegistry,
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.known.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.known.get_store(url) {
            return Ok(store);
        }
        // Who writes http:// means it.
        let plain = (url.scheme() == "http").then(|| ("allow_http".to_string(), "true".to_string()));
        let (store, _) = object_store::parse_url_opts(url, std::env::vars().chain(plain))
            .map_err(|e| DataFusionError::ObjectStore(Box::new(e)))?;
        let store: Arc<dyn ObjectStore> = Arc::from(store);
        self.known.register_store(url, store.clone());
        Ok(store)
    }
}
