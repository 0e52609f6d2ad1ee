// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/fd.h"
#include "transport/rendezvous/directory.h"

namespace nearcall::transport {

// Which file it is that has a name.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;

  bool operator==(const FileId&) const = default;
};

// nullopt: none has.
std::optional<FileId> FileIdOf(const Directory& directory, const std::string& name);

// Says when the file at `path` loses a name or gets another one: readable then, until Drain(). It wakes for that file
// alone, however much goes on in its directory. Not valid if the kernel has no watch left (fs.inotify.*).
base::Fd WatchFile(const std::string& path);
void DrainWatch(const base::Fd& watch);

// Keeps cleaners of temporary files out of a directory, as long as it is open: they leave one alone on which somebody
// has a lock (flock(2), shared; systemd-tmpfiles asks for it before it looks at what is in it). Not valid if it cannot
// be had, and for a directory of everybody's (sticky), which is not for us to keep from being cleaned.
base::Fd HoldAgainstCleaners(const Directory& directory);

}  // namespace nearcall::transport
