//! Collecting every member's part of a report from its agent, all at once, piece by piece.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Result, bail};
use futures_util::future::join_all;
use reqwest::StatusCode;

use super::api;
use super::client::{Client, run};
use crate::cluster::member::Member;
use crate::host::report::{Piece, Wanted};

/// A line of an answer is one piece; a longer one is not ours.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

impl Client {
    /// Hands over the pieces of these members as they come. Whoever does not answer in `limit`, or not to the
    /// end, is told with the reason; what came until then is kept.
    pub fn collect(
        &self,
        members: &[&Member],
        wanted: &Wanted,
        limit: Duration,
        take: &mut dyn FnMut(&Member, Piece) -> Result<()>,
    ) -> Vec<(String, String)> {
        let take = RefCell::new(take);
        let route = format!("{}?from={}&to={}&largest={}", api::REPORT, wanted.from.0, wanted.to.0, wanted.largest);
        let asked = run(join_all(members.iter().map(|member| async {
            let mut hand = |piece| (take.borrow_mut())(member, piece);
            self.part(member, &route, wanted.largest, limit, &mut hand).await
        })));
        let failed = |(member, told): (&&Member, Result<()>)| Some((member.name.clone(), words(&told.err()?)));
        match asked {
            Ok(told) => members.iter().zip(told).filter_map(failed).collect(),
            Err(e) => members.iter().map(|m| (m.name.clone(), format!("{e:#}"))).collect(),
        }
    }

    async fn part(
        &self,
        member: &Member,
        route: &str,
        largest: u64,
        limit: Duration,
        hand: &mut dyn FnMut(Piece) -> Result<()>,
    ) -> Result<()> {
        let mut response = self.asked(member, route, limit).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => bail!("its agent refuses our user name or password (401)"),
            StatusCode::NOT_FOUND => bail!("its agent is older and knows no reports (404)"),
            status => bail!("its agent answers {status}"),
        }
        let (mut line, mut read): (Vec<u8>, u64) = (Vec::new(), 0);
        while let Some(chunk) = response.chunk().await? {
            read = read.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            // Quotes make JSON longer than what it says, never by more than this.
            if read > largest.saturating_mul(3).saturating_add(1 << 20) || line.len() > LONGEST_LINE {
                bail!("its agent sends more than was asked for");
            }
            for part in chunk.split_inclusive(|b| *b == b'\n') {
                line.extend_from_slice(part);
                if line.last() == Some(&b'\n') {
                    match serde_json::from_slice(&line)? {
                        Piece::End => return Ok(()),
                        piece => hand(piece)?,
                    }
                    line.clear();
                }
            }
        }
        bail!("its part broke off: the agent ended, or ran out of time")
    }
}

/// The library's own words repeat the URL; the root cause says what was met.
fn words(e: &anyhow::Error) -> String {
    match e.downcast_ref::<reqwest::Error>() {
        Some(request) if request.is_timeout() => "its agent did not answer to the end in time".into(),
        Some(_) => format!("its agent does not answer: {}", e.root_cause()),
        None => format!("{e:#}"),
    }
}
