// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "fixture.h"

namespace nearcall::integration {

// The children of this process, alive or not yet waited for.
size_t CountChildren();
// Whether there is that process (a zombie is one).
bool Exists(pid_t pid);

// Channels that start their servers. None of these is left when a test has ended.
class ExecTest : public IntegrationTest {
 protected:
  ~ExecTest() override;

  // One more than when the test began: a sanitizer has one of its own.
  bool HasChild() const { return CountChildren() > children_before_; }

  // With the arguments of exec_server.
  ChannelOptions With(const std::vector<std::string>& arguments, ChannelOptions options = {}) const;
  std::shared_ptr<Channel> Start(ChannelOptions options = {}, const std::string& mode = "serve") {
    return Connect(With({mode}, std::move(options)), "exec:" EXEC_SERVER);
  }
  static absl::Status TryStart(const std::string& program, const std::vector<std::string>& argv = {},
                               ChannelOptions options = {});

  // What the child says to an order of exec_server's.
  static absl::StatusOr<std::string> Ask(const std::shared_ptr<Channel>& channel, const std::string& order,
                                         CallOptions options = {.timeout = kLong});
  static std::string Answer(const std::shared_ptr<Channel>& channel, const std::string& order) {
    return Must(Ask(channel, order));
  }
  static pid_t PidOf(const std::shared_ptr<Channel>& channel) { return std::stoi(Answer(channel, "pid")); }

 private:
  const size_t children_before_ = CountChildren();
};

}  // namespace nearcall::integration
