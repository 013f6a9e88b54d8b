//! What this host's kernel tells of the submit folder. Other hosts' writes are not told, so it only makes things faster.

use std::mem::MaybeUninit;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::sync::Notify;

use crate::disk::Folder;

/// A watch; one that never tells if the kernel gives none.
pub struct Wake(Arc<Notify>);

impl Wake {
    /// On this folder, by a thread that lives as long as the program.
    pub fn on(folder: &Folder) -> Self {
        let news = Arc::new(Notify::new());
        let what = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE;
        let told = news.clone();
        if let Ok(fd) = inotify::init(CreateFlags::CLOEXEC)
            && inotify::add_watch(&fd, &folder.path, what).is_ok()
        {
            let work = move || {
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut reader = inotify::Reader::new(fd, &mut buffer);
                while reader.next().is_ok() {
                    told.notify_one();
                }
            };
            let _ = std::thread::Builder::new().name("submit-folder".into()).spawn(work);
        }
        Self(news)
    }

    /// Waits for something new.
    pub async fn wait(&self) {
        self.0.notified().await;
    }
}
