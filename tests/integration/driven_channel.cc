// SPDX-License-Identifier: Apache-2.0
#include "driven_channel.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "driven_server.h"

namespace nearcall::integration {

bool ChannelsHaveQueues() {
  const char* const style = std::getenv("NEARCALL_TEST_CLIENT_STYLE");
  return style != nullptr && absl::string_view(style) == "event-queue";
}

namespace {

// A queue, and who runs it.
struct Loop {
  EventQueue queue;
  QueueThread thread{queue};
};

// Loops of channels that were destroyed in them.
class Leftovers {
 public:
  void Add(std::unique_ptr<Loop> loop) {
    base::MutexLock lock(mutex_);
    loops_.push_back(std::move(loop));
  }
  void Clear() {
    std::vector<std::unique_ptr<Loop>> loops;
    base::MutexLock lock(mutex_);
    loops.swap(loops_);
  }

 private:
  base::Mutex mutex_;
  std::vector<std::unique_ptr<Loop>> loops_ ABSL_GUARDED_BY(mutex_);
};

Leftovers& TheLeftovers() {
  static Leftovers leftovers;
  return leftovers;
}

class DrivenChannel final : public Channel {
 public:
  DrivenChannel(ChannelOptions options, const ConnectWith& connect)
      : loop_(std::make_unique<Loop>()), channel_(connect(With(loop_->queue, std::move(options)))) {}
  ~DrivenChannel() override {
    channel_ = absl::UnknownError("ended");
    if (loop_->thread.id() == std::this_thread::get_id()) TheLeftovers().Add(std::move(loop_));
  }

  const absl::Status& status() const { return channel_.status(); }

  std::string transport() const override { return channel().transport(); }
  std::string DebugString() const override { return channel().DebugString(); }
  ChannelState state() const override { return channel().state(); }
  bool WaitForStateChange(ChannelState last, absl::Time deadline) const override {
    return channel().WaitForStateChange(last, deadline);
  }
  absl::Status BlockingCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                            google::protobuf::MessageLite& reply, const CallOptions& options) override {
    return channel().BlockingCall(method, request, reply, options);
  }
  void StartCall(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                 const CallOptions& options, internal::OnOutcome done) override {
    channel().StartCall(method, request, options, std::move(done));
  }
  std::unique_ptr<internal::ClientStream> OpenStream(const internal::MethodInfo& method,
                                                     const google::protobuf::MessageLite* request,
                                                     const CallOptions& options) override {
    return channel().OpenStream(method, request, options);
  }
  std::unique_ptr<internal::ClientCall> BeginCall(const internal::MethodInfo& method,
                                                  const google::protobuf::MessageLite* request,
                                                  const CallOptions& options) override {
    return channel().BeginCall(method, request, options);
  }
  absl::Status SendOneWay(const internal::MethodInfo& method, const google::protobuf::MessageLite& request,
                          const CallOptions& options) override {
    return channel().SendOneWay(method, request, options);
  }

 private:
  static ChannelOptions With(EventQueue& queue, ChannelOptions options) {
    options.event_queue = &queue;
    return options;
  }

  Channel& channel() const { return **channel_; }

  std::unique_ptr<Loop> loop_;
  absl::StatusOr<std::shared_ptr<Channel>> channel_;
};

}  // namespace

void EndLeftLoops() {
  TheLeftovers().Clear();
}

absl::StatusOr<std::shared_ptr<Channel>> ConnectInStyle(ChannelOptions options, const ConnectWith& connect) {
  if (!ChannelsHaveQueues()) return connect(std::move(options));
  auto channel = std::make_shared<DrivenChannel>(std::move(options), connect);
  if (!channel->status().ok()) return channel->status();
  return channel;
}

}  // namespace nearcall::integration
