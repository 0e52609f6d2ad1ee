// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/strings/string_view.h"

namespace nearcall::base {

// Standard error, whatever it is: a terminal that is stopped, a pipe that is full, a pipe that nobody reads any more.
class StandardError {
 public:
  // Writes at most kMaxLogLineSize bytes, without blocking (but where the disk of a file does) and without raising
  // SIGPIPE. False: there is no room now. Where nobody reads any more everything has been written.
  static bool TryWrite(absl::string_view text);

  // Until there may be room, or for a tenth of a second.
  static void WaitForRoom();
};

}  // namespace nearcall::base
