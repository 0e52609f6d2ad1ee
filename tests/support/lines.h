// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace nearcall::testing {

// What comes in from a descriptor, line by line. Used by one thread.
class LineReader {
 public:
  // The next line without its end, of what has been read already.
  std::optional<std::string> Take();

  // Waits for more, and reads it. False: the input has ended.
  bool Read(int fd);

 private:
  std::string unread_;
};

// To a socket. Nothing happens if nobody reads any more: that shows when one reads from it.
void WriteLine(int socket, const std::string& line);

}  // namespace nearcall::testing
