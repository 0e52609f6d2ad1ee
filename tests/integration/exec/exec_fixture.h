// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "fixture.h"

namespace nearcall::integration {

// Whether this process has a child, alive or not yet waited for.
bool HasChild();
// Whether there is that process (a zombie is one).
bool Exists(pid_t pid);

// Channels that start their servers. None of these is left when a test has ended.
class ExecTest : public IntegrationTest {
 protected:
  ~ExecTest() override;

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
};

}  // namespace nearcall::integration
