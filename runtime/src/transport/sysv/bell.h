// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace nearcall::transport::sysv {

// What a queue lacks: something that poll(2) knows. A pipe of one page beside each queue, which each side has opened
// for itself, for reading and writing (see open_own.h). The writer of the queue rings by a byte, and so the pipe is
// readable; who reads the queue takes the bytes before it looks for messages. A pipe in which there is a byte is not
// writable: so the writer that waits for room leaves one, and the reader who has made room takes it.
//
// Thread-safe.
class Bell {
 public:
  // A new one: what the server keeps, and a descriptor of the same pipe to pass.
  struct Made;
  static absl::StatusOr<Made> Create();

  // Of a descriptor that the server has passed. INTERNAL if it is none of a pipe.
  static absl::StatusOr<Bell> Open(const base::Fd& passed);

  explicit Bell(base::Fd own) : own_(std::move(own)) {}

  // Makes it readable, and not writable. One that is full has been rung.
  void Ring();

  // Makes it writable, and not readable. True: it had been rung.
  bool Take();

  bool IsWritable() const;

  int fd() const { return own_.get(); }

 private:
  base::Fd own_;
};

struct Bell::Made {
  Bell bell;
  base::Fd passed;
};

}  // namespace nearcall::transport::sysv
