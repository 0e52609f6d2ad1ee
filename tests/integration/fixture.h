// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "echo.nearcall.pb.h"
#include "echo_service.h"
#include "support/temporary_directory.h"
#include "transport_under_test.h"

// The small language of the integration tests.
namespace nearcall::integration {

// Longer than anything takes on a busy machine, shorter than a test's patience.
inline constexpr absl::Duration kLong = absl::Seconds(30);

// The value, or the end of the test.
template <typename T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) throw std::runtime_error(value.status().ToString());
  return *std::move(value);
}
void Must(const absl::Status& status);

// Polls `condition` until it holds; false after a long time. For what sends no event.
bool Eventually(const std::function<bool()>& condition);

// Something that happens once.
class Event {
 public:
  void Set();
  bool is_set() const;

  // Until it has happened; fails the test after a long time.
  void Wait();

 private:
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  bool set_ ABSL_GUARDED_BY(mutex_) = false;
};

// Counts up; others wait for a number.
class Counter {
 public:
  size_t Add();  // the new number
  size_t value() const;
  void WaitFor(size_t number);

 private:
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  size_t value_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Takes log lines.
class Log {
 public:
  LogSink sink();
  std::vector<std::string> lines() const;
  bool Has(absl::string_view part) const;

 private:
  mutable base::Mutex mutex_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mutex_);
};

// A number that stands in a DebugString() behind `name`: NumberIn(text, "calls active: ").
size_t NumberIn(const std::string& text, absl::string_view name);
size_t CallsActive(const Server& server);
size_t ConnectionCount(const Server& server);

// Whether no thread of the server that reads requests is awake.
bool IsAsleep(const Server& server);

// A file system of its own for each test, as far as servers' names go.
class IntegrationTest : public ::testing::Test {
 protected:
  ~IntegrationTest() override;

  // $NEARCALL_DIR.
  const std::string& directory() const { return directory_.path(); }

  // Serves `echo` over the transport under test. Its log goes to `log`.
  std::unique_ptr<Server> StartServer(ServerOptions options = {}, absl::string_view address = Address());

  std::shared_ptr<Channel> Connect(ChannelOptions options = {}, absl::string_view address = Address());
  Echo::Stub ConnectStub(ChannelOptions options = {}, absl::string_view address = Address()) {
    return Echo::Stub(Connect(std::move(options), address));
  }

  EchoService echo;
  Log log;

 private:
  testing::NameDirectory directory_;
  // For addresses that name none: those of descriptors.
  const testing::ScopedEnv transport_{"NEARCALL_TRANSPORT", std::string(SocketTransportName()).c_str()};
};

// A call on a thread of its own.
using Pending = std::future<absl::StatusOr<Blob>>;
Pending SayAsync(const Echo::Stub& stub, std::string data, CallOptions options = {});

// What a failed call looks like: its code, a part of its text, and how far it got.
MATCHER_P2(FailsWith, code, part, "") {
  *result_listener << arg;
  return arg.code() == code && absl::StrContains(arg.message(), part);
}

}  // namespace nearcall::integration
