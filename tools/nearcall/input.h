// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace google::protobuf {
class Message;
}

namespace nearcall::tools {

// What is to be sent, by lines: of a text, a file, or standard input, for which nobody waits longer than he may.
class Input {
 public:
  // `data`: as of `-d`: a text, "@-" or "@file".
  static absl::StatusOr<Input> Open(const std::string& data);

  Input(Input&& other) noexcept;
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  ~Input();

  // The next line that is not blank. False: there are no more, or (an error) none by `deadline`, or `stop` was set.
  absl::StatusOr<bool> Next(std::string& line, absl::Time deadline, const std::atomic<bool>& stop);
  // All that is left.
  absl::StatusOr<std::string> All(absl::Time deadline);

 private:
  Input(std::string text, int fd) : text_(std::move(text)), fd_(fd) {}
  absl::StatusOr<bool> ReadMore(absl::Time deadline, const std::atomic<bool>& stop);

  std::string text_;  // that has been read and not given
  int fd_;            // -1: there is no more than that
};

// One message in JSON, which is all that is left; blank: `message` stays as it is.
absl::Status ReadMessage(Input& input, absl::Time deadline, google::protobuf::Message& message);

}  // namespace nearcall::tools
