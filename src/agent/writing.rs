//! A stream whose writes end in time: a client that does not read what it asked for would keep its connection without end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// For so long a client may take nothing of what it is sent.
const LIMIT: Duration = Duration::from_secs(10);

/// A stream with a limit for each write.
pub(super) struct Writing<S> {
    stream: S,
    within: Duration,
    limit: Option<Pin<Box<Sleep>>>,
}

impl<S: Unpin> Writing<S> {
    pub(super) fn to(stream: S) -> Writing<S> {
        Writing { stream, within: LIMIT, limit: None }
    }

    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.stream), cx) {
            self.limit = None;
            return Poll::Ready(written);
        }
        let within = self.within;
        ready!(self.limit.get_or_insert_with(|| Box::pin(sleep(within))).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Writing<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Writing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.in_time(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn c2_a_reader_that_stops_loses_its_connection() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut writing = Writing { within: Duration::from_millis(20), ..Writing::to(ours) };
        let error = runtime.block_on(writing.write_all(&[0; 100])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
