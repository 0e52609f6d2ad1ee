// SPDX-License-Identifier: Apache-2.0

// What nothing can beat with large messages.

#include <fcntl.h>
#include <mqueue.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <string>

#include "bench/pair.h"
#include "bench/payload.h"
#include "bench/worker.h"
#include "transport/framing.h"
#include "transport/mq/queue_size.h"

namespace nearcall::bench {

namespace {

constexpr size_t kMaxSize = size_t{16} << 20;

// As ServerOptions has it.
constexpr size_t kExpectedClients = 16;

struct Written {
  sem_t wanted;
  sem_t ready;
  std::atomic<size_t> size{0};
  alignas(4096) std::array<char, kMaxSize> bytes;
};

// M(s): memcpy of what the other side has just written. Only the copying counts.
class MemcpyFloor final : public Pair {
 public:
  explicit MemcpyFloor(int peer_cpu) : shared_(*Map<Written>()), copy_(kMaxSize, '\0') {
    ::sem_init(&shared_.wanted, 1, 0);
    ::sem_init(&shared_.ready, 1, 0);
    Fork(peer_cpu, [this] {
      Wait(shared_.wanted);
      std::memset(shared_.bytes.data(), ++written_, shared_.size);
      ::sem_post(&shared_.ready);
    });
  }

  void SetSize(size_t size) override { shared_.size = size; }
  void Call() override { TimeCallNs(); }

  int64_t TimeCallNs() override {
    ::sem_post(&shared_.wanted);
    Wait(shared_.ready);
    const int64_t before = base::NowNs();
    std::memcpy(copy_.data(), shared_.bytes.data(), shared_.size);
    return base::NowNs() - before;
  }

  void Check() override {
    if (std::memcmp(copy_.data(), shared_.bytes.data(), shared_.size) != 0) Die("memcpy: other bytes");
  }

 private:
  Written& shared_;
  std::string copy_;
  unsigned char written_ = 0;  // the other process's
};

// A message there and back in frames. The other process answers when it has all of it.
class FramesFloor : public Pair {
 public:
  explicit FramesFloor(size_t frame_size) : frame_size_(frame_size), size_(*Map<std::atomic<size_t>>()) {}

  void SetSize(size_t size) override {
    sent_ = MakePayload(size);
    got_.resize(size);
    size_ = size;
  }

  void Call() override {
    Stamp(sent_);
    for (size_t at = 0; at < sent_.size(); at += frame_size_) Write(kThere, Frame(sent_, at));
    for (size_t at = 0; at < got_.size(); at += Read(kBack, Frame(got_, at))) continue;
  }

  void Check() override { ExpectEcho("frames", sent_, got_); }

 protected:
  enum Way : size_t { kThere, kBack };

  struct Bytes {
    char* data;
    size_t size;
  };

  void ForkEcho(int cpu) {
    Fork(cpu, [this] { Echo(); });
  }

  const size_t frame_size_;

 private:
  virtual void Write(Way way, Bytes bytes) = 0;
  virtual size_t Read(Way way, Bytes room) = 0;

  Bytes Frame(std::string& message, size_t at) const {
    return {message.data() + at, std::min(frame_size_, message.size() - at)};
  }

  // Only the first frame tells that there is a new message, of what size.
  void Echo() {
    got_.resize(kMaxSize);
    size_t at = Read(kThere, Frame(got_, 0));
    const size_t size = size_;
    while (at < size) at += Read(kThere, Frame(got_, at));
    for (size_t to = 0; to < size; to += frame_size_)
      Write(kBack, {got_.data() + to, std::min(frame_size_, size - to)});
  }

  std::atomic<size_t>& size_;
  std::string sent_;
  std::string got_;
};

class PipeFrames final : public FramesFloor {
 public:
  explicit PipeFrames(int peer_cpu) : FramesFloor(transport::kMaxFrameSize) {
    for (auto& pipe : pipes_) NEARCALL_CHECK(::pipe(pipe.data()) == 0);
    ForkEcho(peer_cpu);
  }
  ~PipeFrames() override {
    for (const auto& pipe : pipes_) {
      for (const int fd : pipe) ::close(fd);
    }
  }

 private:
  void Write(Way way, Bytes bytes) override {
    NEARCALL_CHECK(::write(pipes_[way][1], bytes.data, bytes.size) == static_cast<ssize_t>(bytes.size));
  }
  size_t Read(Way way, Bytes room) override {
    const ssize_t size = ::read(pipes_[way][0], room.data, room.size);
    NEARCALL_CHECK(size > 0);
    return static_cast<size_t>(size);
  }

  std::array<std::array<int, 2>, 2> pipes_;
};

transport::mq::QueueSize QueueSizeOfServers() {
  const auto size = transport::mq::ChooseQueueSize(transport::mq::QueueLimits::Now(), kExpectedClients);
  if (!size.ok()) Die(size.status().ToString());
  return *size;
}

class QueueFrames final : public FramesFloor {
 public:
  explicit QueueFrames(int peer_cpu) : FramesFloor(QueueSizeOfServers().message_size) {
    for (mqd_t& queue : queues_) queue = Open(QueueSizeOfServers());
    ForkEcho(peer_cpu);
  }
  ~QueueFrames() override {
    for (const mqd_t queue : queues_) ::mq_close(queue);
  }

 private:
  static mqd_t Open(const transport::mq::QueueSize& size) {
    mq_attr attributes{};
    attributes.mq_maxmsg = static_cast<long>(size.max_messages);
    attributes.mq_msgsize = static_cast<long>(size.message_size);
    const std::string name = "/call_bench-" + std::to_string(::getpid()) + "-frames";
    const mqd_t queue = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (queue == -1 || ::mq_unlink(name.c_str()) != 0) Die("no message queue (see ulimit -q)");
    return queue;
  }

  void Write(Way way, Bytes bytes) override { NEARCALL_CHECK(::mq_send(queues_[way], bytes.data, bytes.size, 0) == 0); }
  // The kernel wants room for the largest message.
  size_t Read(Way way, Bytes room) override {
    buffer_.resize(frame_size_);
    const ssize_t size = ::mq_receive(queues_[way], buffer_.data(), buffer_.size(), nullptr);
    NEARCALL_CHECK(size > 0 && static_cast<size_t>(size) <= room.size);
    std::memcpy(room.data, buffer_.data(), static_cast<size_t>(size));
    return static_cast<size_t>(size);
  }

  std::array<mqd_t, 2> queues_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Subject> MakeBulkFloor(const SubjectParams& params) {
  if (params.subject == "memcpy") return std::make_unique<MemcpyFloor>(params.placement.server_cpu);
  if (params.subject == "pipe frames") return std::make_unique<PipeFrames>(params.placement.server_cpu);
  if (params.subject == "mq frames") return std::make_unique<QueueFrames>(params.placement.server_cpu);
  return nullptr;
}

}  // namespace nearcall::bench
