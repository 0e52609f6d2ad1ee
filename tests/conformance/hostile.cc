// SPDX-License-Identifier: Apache-2.0
#include "conformance/hostile.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/msg.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/shared_memory.h"
#include "transport/doorbell.h"
#include "transport/fifo/fifo_pair.h"
#include "transport/mq/mq_offer.h"
#include "transport/pipe/pipe_offer.h"
#include "transport/shm/event_bell.h"
#include "transport/shm/layout.h"
#include "transport/shm/semaphore_bell.h"
#include "transport/shm/shm_offer.h"
#include "transport/shm/shm_transport.h"
#include "transport/sysv/sysv_offer.h"
#include "transport/sysv/sysv_pair.h"
#include "transport/transport_pair.h"

namespace nearcall::transport::conformance {

namespace {

using base::Fd;
using base::Mapping;

void MakeBlocking(const Fd& fd) {
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
}

Mapping MapAll(const Fd& fd, size_t size) {
  return *Mapping::Map(fd, 0, size, Mapping::Access::kReadWrite);
}

// --- pipes and queues: two descriptors, of which the first leads to the server ---

// Both with all rights, and descriptors that share the flags of the victim's, if there are such.
struct Descriptors {
  std::array<Fd, 2> open;
  std::array<Fd, 2> shared;
  Geometry geometry;
};

Descriptors DescriptorsOf(const std::vector<int>& fds, const Geometry& geometry = {}) {
  Descriptors result;
  result.geometry = geometry;
  NEARCALL_CHECK(fds.size() == result.open.size());
  for (size_t i = 0; i < fds.size(); ++i) {
    const std::string path = absl::StrCat("/proc/self/fd/", fds[i]);
    result.open[i] = Fd(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    result.shared[i] = base::Duplicate(fds[i]);
    NEARCALL_CHECK(result.open[i].valid() && result.shared[i].valid());
  }
  return result;
}

template <typename End>
Assault AttackBy(TransportPair pair, Descriptors descriptors, Side hostile) {
  if (hostile == Side::kServer) std::swap(pair.client, pair.server);
  return {.victim = std::move(pair.server),
          .hostile = std::make_unique<End>(std::move(pair.client), std::move(descriptors), hostile)};
}

template <typename End>
absl::StatusOr<Assault> AttackBy(absl::StatusOr<std::unique_ptr<TransportOffer>> offer, AttachEnd* attach,
                                 Side hostile) {
  if (!offer.ok()) return offer.status();
  Descriptors descriptors = DescriptorsOf((*offer)->fds(), (*offer)->geometry());
  absl::StatusOr<TransportPair> pair = MakePair(std::move(offer), attach);
  if (!pair.ok()) return pair.status();
  return AttackBy<End>(*std::move(pair), std::move(descriptors), hostile);
}

class HostileDescriptors : public HostileEnd {
 public:
  HostileDescriptors(std::unique_ptr<Transport> transport, Descriptors descriptors, Side side)
      : HostileEnd(std::move(transport)), descriptors_(std::move(descriptors)), side_(side) {}

 protected:
  const Fd& any(uint64_t where) const { return descriptors_.open[where % 2]; }
  const Fd& read_by_victim() const { return descriptors_.open[side_ == Side::kClient ? 0 : 1]; }
  const Fd& written_by_victim() const { return descriptors_.open[side_ == Side::kClient ? 1 : 0]; }
  int number(uint64_t where) const { return static_cast<int>(descriptors_.geometry[where % 2]); }
  int number_read_by_victim() const { return number(side_ == Side::kClient ? 0 : 1); }
  void MakeAllBlocking() const {
    for (const Fd& fd : descriptors_.shared) MakeBlocking(fd);
  }

 private:
  const Descriptors descriptors_;
  const Side side_;
};

class HostilePipes final : public HostileDescriptors {
 public:
  using HostileDescriptors::HostileDescriptors;

  void Scribble(uint64_t where, std::span<const std::byte> bytes) override {
    static_cast<void>(!::write(any(where).get(), bytes.data(), bytes.size()));
  }
  void Violate() override {
    const uint32_t size = 0;
    NEARCALL_CHECK(::write(read_by_victim().get(), &size, sizeof(size)) == sizeof(size));
  }
  void Obstruct() override {
    MakeAllBlocking();
    const std::array<std::byte, 4096> bytes{};
    ::fcntl(written_by_victim().get(), F_SETPIPE_SZ, 4096);
    while (::write(written_by_victim().get(), bytes.data(), bytes.size()) > 0) {
    }
  }
};

// System V queues, which are numbers, and the pipes beside them.
class HostileNumbers final : public HostileDescriptors {
 public:
  using HostileDescriptors::HostileDescriptors;

  void Scribble(uint64_t where, std::span<const std::byte> bytes) override {
    std::array<std::byte, 4096> taken;
    switch (where / 2 % 8) {
      case 0:
        static_cast<void>(!::write(any(where).get(), bytes.data(), bytes.size()));
        return;
      case 1:
        static_cast<void>(!::read(any(where).get(), taken.data(), taken.size()));
        return;
      case 2:
        ::msgrcv(number(where), taken.data(), taken.size() - sizeof(Type), 0, IPC_NOWAIT | MSG_NOERROR);
        return;
      case 3:
        if (where / 16 % 64 == 0) ::msgctl(number(where), IPC_RMID, nullptr);
        return;
      default:
        Send(number(where), static_cast<Type>(where / 16 % 6 + 1), bytes);
    }
  }
  void Violate() override { NEARCALL_CHECK(Send(number_read_by_victim(), base::kLanes + 1, {}) == 0); }
  void Obstruct() override {
    MakeAllBlocking();
    const std::array<std::byte, 4096> bytes{};
    for (uint64_t i = 0; i < 2; ++i) {
      ::fcntl(any(i).get(), F_SETPIPE_SZ, 1 << 16);
      while (::write(any(i).get(), bytes.data(), bytes.size()) > 0) {
      }
      while (Send(number(i), 1, std::span(bytes).first(1)) == 0) {
      }
    }
  }

 private:
  using Type = long;  // NOLINT(google-runtime-int): msgop(2)

  static int Send(int queue, Type type, std::span<const std::byte> bytes) {
    std::vector<std::byte> message(sizeof(type) + bytes.size());
    std::memcpy(message.data(), &type, sizeof(type));
    std::copy(bytes.begin(), bytes.end(), message.begin() + sizeof(type));
    return ::msgsnd(queue, message.data(), bytes.size(), IPC_NOWAIT);
  }
};

class HostileQueues final : public HostileDescriptors {
 public:
  using HostileDescriptors::HostileDescriptors;

  void Scribble(uint64_t where, std::span<const std::byte> bytes) override {
    ::mq_send(any(where).get(), reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), SizeOf(where)),
              static_cast<unsigned>(where / 2 % 6));
  }
  void Violate() override { NEARCALL_CHECK(::mq_send(read_by_victim().get(), "", 0, 0) == 0); }
  void Obstruct() override {
    MakeAllBlocking();
    mq_attr blocking{};
    for (uint64_t i = 0; i < 2; ++i) ::mq_setattr(any(i).get(), &blocking, nullptr);
    const mq_attr full = AttributesOf(written_by_victim());
    mq_attr not_waiting{};
    not_waiting.mq_flags = O_NONBLOCK;
    ::mq_setattr(written_by_victim().get(), &not_waiting, nullptr);
    for (long i = 0; i < full.mq_maxmsg; ++i) ::mq_send(written_by_victim().get(), "x", 1, 0);
  }

 private:
  static mq_attr AttributesOf(const Fd& queue) {
    mq_attr attributes{};
    NEARCALL_CHECK(::mq_getattr(queue.get(), &attributes) == 0);
    return attributes;
  }
  size_t SizeOf(uint64_t where) const { return static_cast<size_t>(AttributesOf(any(where)).mq_msgsize); }
};

// --- shared memory ---

constexpr size_t kRingSize = base::kMinRingSize;
constexpr Geometry kGeometry = {kRingSize, 0, 0, 0};

// What it may write: its own region, and the client's bell.
class HostileMemory final : public HostileEnd {
 public:
  HostileMemory(std::unique_ptr<Transport> transport, Mapping client_region, Mapping server_region, Fd server_bell,
                Side side)
      : HostileEnd(std::move(transport)),
        client_region_(std::move(client_region)),
        server_region_(std::move(server_region)),
        server_bell_(std::move(server_bell)),
        side_(side) {}

  void Scribble(uint64_t where, std::span<const std::byte> bytes) override {
    const std::span<std::byte> place = Place(where);
    const size_t at = where / 4 % place.size();
    std::memcpy(place.data() + at, bytes.data(), std::min(bytes.size(), place.size() - at));
  }
  void Violate() override { reinterpret_cast<shm::ControlPage*>(own().data())->tail.store(1); }
  void Obstruct() override {
    const uint64_t full = ~uint64_t{0} - 1;
    uint64_t count = 0;
    static_cast<void>(!::read(server_bell_.get(), &count, sizeof(count)));
    static_cast<void>(!::write(server_bell_.get(), &full, sizeof(full)));
    MakeBlocking(server_bell_);
  }

 private:
  std::span<std::byte> own() const {
    return side_ == Side::kClient ? client_region_.bytes().first(shm::BellOffset(kRingSize)) : server_region_.bytes();
  }
  std::span<std::byte> Place(uint64_t where) const {
    switch (where % 4) {
      case 0:
        return own().first(sizeof(shm::ControlPage));
      case 1:
        return own().subspan(shm::RingOffset(), 512);
      case 2:
        return client_region_.bytes().subspan(shm::BellOffset(kRingSize), 64);
      default:
        return own();
    }
  }

  const Mapping client_region_;
  const Mapping server_region_;
  const Fd server_bell_;
  const Side side_;
};

absl::StatusOr<Assault> AttackShmServer() {
  absl::StatusOr<std::unique_ptr<TransportOffer>> offer = shm::OfferShm({.ring_size_bytes = kRingSize});
  if (!offer.ok()) return offer.status();
  // Before the client's end is sealed.
  Mapping region = MapAll(base::Duplicate((*offer)->fds()[0]), shm::ClientRegionSize(kRingSize));
  Fd bell = base::Duplicate((*offer)->fds()[2]);
  absl::StatusOr<TransportPair> pair = MakePair(std::move(offer), &shm::AttachShm);
  if (!pair.ok()) return pair.status();
  return Assault{.victim = std::move(pair->server),
                 .hostile = std::make_unique<HostileMemory>(std::move(pair->client), std::move(region), Mapping(),
                                                            std::move(bell), Side::kClient)};
}

// The server has made everything by itself, and mapped it as it likes.
absl::StatusOr<Assault> AttackShmClient() {
  absl::StatusOr<Fd> client_memory = base::CreateSharedMemory(shm::ClientRegionSize(kRingSize));
  if (!client_memory.ok()) return client_memory.status();
  absl::StatusOr<Fd> server_memory = base::CreateSharedMemory(shm::ServerRegionSize(kRingSize));
  if (!server_memory.ok()) return server_memory.status();
  absl::StatusOr<Fd> bell = CreateDoorbell();
  if (!bell.ok()) return bell.status();
  Mapping client_region = MapAll(*client_memory, shm::ClientRegionSize(kRingSize));
  Mapping server_region = MapAll(*server_memory, shm::ServerRegionSize(kRingSize));
  if (absl::Status sealed = base::SealAgainstWriters(*server_memory); !sealed.ok()) return sealed;
  std::byte* const bell_page = client_region.bytes().data() + shm::BellOffset(kRingSize);
  auto server = std::make_unique<shm::ShmTransport>(shm::ShmEnd{
      .own_region = server_region.bytes(),
      .peer_region = client_region.bytes().first(shm::BellOffset(kRingSize)),
      .own_bell = std::make_unique<shm::EventBell>(base::Duplicate(bell->get())),
      .peer_bell = std::make_unique<shm::SemaphoreBell>(bell_page),
      .memory = {},
  });
  Fd own_bell = base::Duplicate(bell->get());
  std::vector<Fd> passed;
  passed.push_back(*std::move(client_memory));
  passed.push_back(*std::move(server_memory));
  passed.push_back(*std::move(bell));
  absl::StatusOr<std::unique_ptr<Transport>> victim = shm::AttachShm(std::move(passed), kGeometry);
  if (!victim.ok()) return victim.status();
  return Assault{
      .victim = *std::move(victim),
      .hostile = std::make_unique<HostileMemory>(std::move(server), std::move(client_region), std::move(server_region),
                                                 std::move(own_bell), Side::kServer)};
}

}  // namespace

absl::StatusOr<Assault> AttackShm(Side hostile) {
  return hostile == Side::kClient ? AttackShmServer() : AttackShmClient();
}

absl::StatusOr<Assault> AttackMq(Side hostile) {
  return AttackBy<HostileQueues>(mq::OfferMqOfSize({.max_messages = 4, .message_size = 256}), &mq::AttachMq, hostile);
}

absl::StatusOr<Assault> AttackPipe(Side hostile) {
  return AttackBy<HostilePipes>(pipe::OfferPipe({}), &pipe::AttachPipe, hostile);
}

absl::StatusOr<Assault> AttackSysv(Side hostile) {
  return AttackBy<HostileNumbers>(sysv::OfferSysv({}, {.pid = ::getpid(), .uid = ::geteuid(), .gid = ::getegid()}),
                                  &sysv::AttachOwn, hostile);
}

absl::StatusOr<Assault> AttackFifo(Side hostile) {
  absl::StatusOr<TransportPair> pair = fifo::MakeFifoPair();
  if (!pair.ok()) return pair.status();
  // Each side has opened both for itself.
  const bool is_client = hostile == Side::kClient;
  const auto [bell, readable, writable] = (is_client ? pair->client : pair->server)->event_fds();
  const std::vector<int> fds = {is_client ? writable : readable, is_client ? readable : writable};
  return AttackBy<HostilePipes>(*std::move(pair), DescriptorsOf(fds), hostile);
}

}  // namespace nearcall::transport::conformance
