//! Questions to the API server, each with a deadline, and what keeps one from being answered as a [`Gap`].

use std::time::Duration;

use hyper::Request;
use kube::Client;
use kube::api::ListParams;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::wire::{Meta, Page};
use crate::doctor::facts::{Gap, Known};

/// For one answer. A page of a list comes well within it.
const DEADLINE: Duration = Duration::from_secs(10);
/// Objects a page, as client-go has it.
const PAGE: u32 = 500;

/// An API server that is only asked.
pub(super) struct Api {
    client: Client,
}

impl Api {
    pub(super) const fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// One object. `permission` is what it takes, as it is told to whoever lacks it.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, permission: &str) -> Known<T> {
        let request = Request::get(path).body(Vec::new());
        self.ask(request.map_err(|error| failed(permission, &error))?, permission).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value, permission: &str) -> Known<T> {
        let request =
            Request::post(path).header("content-type", "application/json").body(body.to_string().into_bytes());
        self.ask(request.map_err(|error| failed(permission, &error))?, permission).await
    }

    /// All objects, page by page.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &str, permission: &str) -> Known<Vec<T>> {
        self.pages(path, permission, false).await
    }

    /// The same, the metadata alone: a node is large, and its labels are not.
    pub(super) async fn list_metadata(&self, path: &str, permission: &str) -> Known<Vec<Meta>> {
        self.pages(path, permission, true).await
    }

    async fn pages<T: DeserializeOwned>(&self, path: &str, permission: &str, metadata: bool) -> Known<Vec<T>> {
        let mut params = ListParams::default().limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page: Page<T> = self.page(path, permission, &params, metadata).await?;
            all.extend(page.items.unwrap_or_default());
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// How many objects there are, without reading them.
    pub(super) async fn count(&self, path: &str, permission: &str) -> Known<u64> {
        let page: Page<Meta> = self.page(path, permission, &ListParams::default().limit(1), true).await?;
        let shown = page.items.map_or(0, |items| items.len() as u64);
        let more = page.metadata.next.is_some_and(|next| !next.is_empty());
        // A server that does not say how many remain has one more at least.
        Ok(shown + page.metadata.remaining_item_count.unwrap_or(u64::from(more)))
    }

    async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        permission: &str,
        params: &ListParams,
        metadata: bool,
    ) -> Known<Page<T>> {
        let request = kube::core::Request::new(path);
        let request = if metadata { request.list_metadata(params) } else { request.list(params) };
        self.ask(request.map_err(|error| failed(permission, &error))?, permission).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request<Vec<u8>>, permission: &str) -> Known<T> {
        let answer = timeout(DEADLINE, self.client.request_text(request)).await;
        let answer = answer.map_err(|_| no_answer(permission))?;
        let text = answer.map_err(|error| gap(permission, &error))?;
        serde_json::from_str(&text).map_err(|error| failed(permission, &error))
    }
}

/// The answer to `future`, within the deadline of a question.
pub(super) async fn in_time<T>(permission: &str, future: impl Future<Output = Result<T, kube::Error>>) -> Known<T> {
    timeout(DEADLINE, future).await.map_err(|_| no_answer(permission))?.map_err(|error| gap(permission, &error))
}

fn no_answer(permission: &str) -> Gap {
    Gap::Failed(permission.to_owned(), format!("no answer within {DEADLINE:?}"))
}

fn gap(permission: &str, error: &kube::Error) -> Gap {
    match error {
        kube::Error::Api(status) if status.code == 403 => Gap::Forbidden(permission.to_owned()),
        kube::Error::Api(status) if status.code == 404 => {
            Gap::Absent(permission.split_once(' ').map_or(permission, |(_, what)| what).to_owned())
        }
        // Its own words are the whole object.
        kube::Error::Api(status) => {
            Gap::Failed(permission.to_owned(), one_line(&format!("{} ({})", status.message, status.code)))
        }
        error => failed(permission, error),
    }
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// An error with its causes, in one line: hyper's own messages say little.
pub(super) fn failed(permission: &str, error: &dyn std::error::Error) -> Gap {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    Gap::Failed(permission.to_owned(), one_line(&text))
}
