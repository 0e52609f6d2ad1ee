// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/shm_offer.h"

#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "base/check.h"
#include "base/shared_memory.h"
#include "transport/doorbell.h"
#include "transport/shm/event_bell.h"
#include "transport/shm/layout.h"
#include "transport/shm/semaphore_bell.h"
#include "transport/shm/shm_transport.h"
#include "transport/shm/socket_bell.h"

namespace nearcall::transport::shm {

namespace {

using base::Fd;
using base::Mapping;
using SharedMapping = std::shared_ptr<const Mapping>;

// In the second word of the geometry: a fourth descriptor is the client's bell.
constexpr uint64_t kSocketBellGeometry = 1;

absl::StatusOr<SharedMapping> Map(const Fd& fd, size_t offset, size_t size, Mapping::Access access) {
  absl::StatusOr<Mapping> mapping = Mapping::Map(fd, offset, size, access);
  if (!mapping.ok()) return mapping.status();
  return std::make_shared<const Mapping>(*std::move(mapping));
}

class ShmOffer final : public TransportOffer {
 public:
  ShmOffer(size_t ring_size, bool socket_bell) : ring_size_(ring_size), socket_bell_(socket_bell) {}

  absl::Status Create();

  Geometry geometry() const override { return {ring_size_, socket_bell_ ? kSocketBellGeometry : 0, 0, 0}; }
  std::vector<int> fds() const override {
    std::vector<int> fds = {client_region_.get(), server_region_.get(), server_bell_.get()};
    if (socket_bell_) fds.push_back(sockets_.hears.get());
    return fds;
  }
  absl::StatusOr<std::unique_ptr<Transport>> Accept() override;

 private:
  absl::Status CreateServerRegion();
  absl::Status CreateClientRegion();
  std::unique_ptr<Bell> ClientsBell();

  const size_t ring_size_;
  const bool socket_bell_;
  Fd client_region_;
  Fd server_region_;
  Fd server_bell_;
  SocketBell::Pair sockets_;   // if the client wants them
  SharedMapping own_;          // region S, writable
  SharedMapping peer_;         // control page and ring of region C, readable only
  SharedMapping client_bell_;  // the bell page of region C, writable
};

absl::Status ShmOffer::Create() {
  if (absl::Status status = CreateServerRegion(); !status.ok()) return status;
  if (absl::Status status = CreateClientRegion(); !status.ok()) return status;
  absl::StatusOr<Fd> bell = CreateDoorbell();
  if (!bell.ok()) return bell.status();
  server_bell_ = *std::move(bell);
  if (!socket_bell_) return absl::OkStatus();
  absl::StatusOr<SocketBell::Pair> sockets = SocketBell::Create();
  if (!sockets.ok()) return sockets.status();
  sockets_ = *std::move(sockets);
  return absl::OkStatus();
}

std::unique_ptr<Bell> ShmOffer::ClientsBell() {
  sockets_.hears.Reset();
  if (socket_bell_) return std::make_unique<SocketBell>(std::move(sockets_.rings));
  return std::make_unique<SemaphoreBell>(client_bell_->bytes().data());
}

absl::Status ShmOffer::CreateServerRegion() {
  const size_t size = ServerRegionSize(ring_size_);
  absl::StatusOr<Fd> fd = base::CreateSharedMemory(size);
  if (!fd.ok()) return fd.status();
  server_region_ = *std::move(fd);
  absl::StatusOr<SharedMapping> own = Map(server_region_, 0, size, Mapping::Access::kReadWrite);
  if (!own.ok()) return own.status();
  own_ = *std::move(own);
  // Before it is passed: the client never has a chance to write here.
  return base::SealAgainstWriters(server_region_);
}

absl::Status ShmOffer::CreateClientRegion() {
  absl::StatusOr<Fd> fd = base::CreateSharedMemory(ClientRegionSize(ring_size_));
  if (!fd.ok()) return fd.status();
  client_region_ = *std::move(fd);
  const size_t bell_offset = BellOffset(ring_size_);
  absl::StatusOr<SharedMapping> peer = Map(client_region_, 0, bell_offset, Mapping::Access::kRead);
  if (!peer.ok()) return peer.status();
  absl::StatusOr<SharedMapping> bell = Map(client_region_, bell_offset, base::PageSize(), Mapping::Access::kReadWrite);
  if (!bell.ok()) return bell.status();
  peer_ = *std::move(peer);
  client_bell_ = *std::move(bell);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Transport>> ShmOffer::Accept() {
  NEARCALL_CHECK(client_region_.valid());
  const Fd client_region = std::move(client_region_);
  const Fd server_region = std::move(server_region_);
  // Only looked at: to seal it, or to fill its holes (fallocate), takes a lock that the client can hold for good.
  if (absl::Status status = base::VerifySealedAgainstWriters(client_region); !status.ok()) return status;
  // Not earlier: until the seal the client could have punched holes, which would be a SIGBUS for us without memory.
  if (absl::Status status = peer_->Populate(); !status.ok()) return status;
  if (absl::Status status = client_bell_->Populate(); !status.ok()) return status;
  return std::make_unique<ShmTransport>(ShmEnd{
      .own_region = own_->bytes(),
      .peer_region = peer_->bytes(),
      .own_bell = std::make_unique<EventBell>(std::move(server_bell_)),
      .peer_bell = ClientsBell(),
      .memory = {own_, peer_, client_bell_},
  });
}

absl::Status Violation(absl::string_view what) {
  return absl::InternalError(absl::StrCat("shm: the server broke the protocol: ", what));
}

absl::Status VerifyOffer(std::span<const Fd> fds, const Geometry& geometry) {
  const uint64_t ring_size = geometry[0];
  const size_t expected = geometry[1] == kSocketBellGeometry ? 4 : 3;
  if (fds.size() != expected) {
    return Violation(absl::StrCat("it sent ", fds.size(), " descriptors, expected ", expected));
  }
  if (!IsRingSize(ring_size) || geometry[1] > kSocketBellGeometry || geometry[2] != 0 || geometry[3] != 0) {
    return Violation(absl::StrCat("it sent the geometry {", absl::StrJoin(geometry, ", "), "}"));
  }
  if (absl::Status status = base::VerifySharedMemory(fds[0], ClientRegionSize(ring_size), false); !status.ok()) {
    return status;
  }
  if (absl::Status status = base::VerifySharedMemory(fds[1], ServerRegionSize(ring_size), true); !status.ok()) {
    return status;
  }
  if (expected == 4) {
    if (absl::Status status = SocketBell::Verify(fds[3]); !status.ok()) return status;
  }
  return EventBell::Verify(fds[2]);
}

// The client's own bell: the socket that came with the rest, or the semaphore in its memory.
absl::StatusOr<std::unique_ptr<Bell>> OwnBell(std::span<Fd> fds, std::byte* page) {
  if (fds.size() < 4) return std::make_unique<SemaphoreBell>(page);
  absl::StatusOr<std::unique_ptr<FdSleeper>> sleeper = FdSleeper::Create();
  if (!sleeper.ok()) return sleeper.status();
  return std::make_unique<SocketBell>(std::move(fds[3]), *std::move(sleeper));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TransportOffer>> OfferShm(const TransportConfig& config) {
  if (!IsRingSize(config.ring_size_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat("shm: a ring of ", config.ring_size_bytes,
                                                   " B; it must be a power of two from ", MinRingSize(), " to ",
                                                   base::kMaxRingSize));
  }
  auto offer = std::make_unique<ShmOffer>(config.ring_size_bytes, config.socket_bell);
  if (absl::Status status = offer->Create(); !status.ok()) return status;
  return offer;
}

absl::StatusOr<std::unique_ptr<Transport>> AttachShm(std::vector<base::Fd>&& fds, const Geometry& geometry) {
  if (absl::Status status = VerifyOffer(fds, geometry); !status.ok()) return status;
  const size_t ring_size = geometry[0];
  absl::StatusOr<SharedMapping> own = Map(fds[0], 0, ClientRegionSize(ring_size), Mapping::Access::kReadWrite);
  if (!own.ok()) {
    if (absl::IsPermissionDenied(own.status())) return Violation("it sent memory that the client may not write");
    return own.status();
  }
  // Ours alone from here on. The server does not do it: it would wait for a lock that its client can hold.
  if (absl::Status status = base::SealAgainstWriters(fds[0]); !status.ok()) return status;
  absl::StatusOr<SharedMapping> peer = Map(fds[1], 0, ServerRegionSize(ring_size), Mapping::Access::kRead);
  if (!peer.ok()) return peer.status();
  // The server could have punched holes in both, until they were sealed.
  if (absl::Status status = (*own)->Populate(); !status.ok()) return status;
  if (absl::Status status = (*peer)->Populate(); !status.ok()) return status;
  const std::span<std::byte> region = (*own)->bytes();
  absl::StatusOr<std::unique_ptr<Bell>> bell = OwnBell(fds, region.data() + BellOffset(ring_size));
  if (!bell.ok()) return bell.status();
  return std::make_unique<ShmTransport>(ShmEnd{
      .own_region = region.first(BellOffset(ring_size)),
      .peer_region = (*peer)->bytes(),
      .own_bell = *std::move(bell),
      .peer_bell = std::make_unique<EventBell>(std::move(fds[2])),
      .memory = {*own, *peer},
  });
}

}  // namespace nearcall::transport::shm
