// SPDX-License-Identifier: Apache-2.0
#include "driven_server.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace nearcall::integration {

QueueThread::QueueThread(EventQueue& queue, size_t max)
    : queue_(queue), stop_(::eventfd(0, EFD_CLOEXEC)), thread_([this, max] { Loop(max); }), id_(thread_.get_id()) {}

void QueueThread::Stop() {
  if (!thread_.joinable()) return;
  if (fork_guard_.InChild()) return static_cast<void>(new auto(std::move(thread_)));
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void QueueThread::Loop(size_t max) {
  pollfd fds[] = {{.fd = queue_.fd(), .events = POLLIN, .revents = 0},
                  {.fd = stop_.get(), .events = POLLIN, .revents = 0}};
  while (fds[1].revents == 0) {
    if (::poll(fds, 2, -1) > 0 && fds[0].revents != 0) queue_.Run(max);
  }
}

bool HasSomethingToRun(const EventQueue& queue) {
  pollfd ready = {.fd = queue.fd(), .events = POLLIN, .revents = 0};
  return ::poll(&ready, 1, 0) == 1;
}

bool RunUntilIdle(EventQueue& queue) {
  for (int i = 0; i < 1000; ++i) {
    if (!HasSomethingToRun(queue)) return true;
    queue.Run(64);
  }
  return false;
}

bool ServersHaveQueues() {
  const char* const style = std::getenv("NEARCALL_TEST_SERVER_STYLE");
  return style != nullptr && absl::string_view(style) == "event-queue";
}

namespace {

class DrivenServer final : public Server {
 public:
  DrivenServer(ServerOptions options, const std::function<std::unique_ptr<Server>(ServerOptions)>& start)
      : server_(start(With(queue_, std::move(options)))), thread_(queue_) {}
  ~DrivenServer() override { thread_.Stop(); }

  absl::Status ServeFd(int fd) override { return server_->ServeFd(fd); }
  absl::StatusOr<std::shared_ptr<Channel>> InProcessChannel(ChannelOptions options) override {
    return server_->InProcessChannel(std::move(options));
  }
  void Wait() override {
    thread_.Stop();
    server_->Wait();
  }
  void Shutdown(absl::Duration grace) override { server_->Shutdown(grace); }
  std::string DebugString() const override { return server_->DebugString(); }
  void SetServing(absl::string_view service, bool serving) override { server_->SetServing(service, serving); }

 private:
  static ServerOptions With(EventQueue& queue, ServerOptions options) {
    options.event_queue = &queue;
    return options;
  }

  EventQueue queue_;
  std::unique_ptr<Server> server_;
  QueueThread thread_;
};

}  // namespace

std::unique_ptr<Server> StartInStyle(ServerOptions options,
                                     const std::function<std::unique_ptr<Server>(ServerOptions)>& start) {
  if (ServersHaveQueues()) return std::make_unique<DrivenServer>(std::move(options), start);
  return start(std::move(options));
}

}  // namespace nearcall::integration
