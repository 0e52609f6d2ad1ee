// SPDX-License-Identifier: Apache-2.0
#include "transport/shm/shm_pair.h"

#include <memory>
#include <span>
#include <utility>

#include "base/fd.h"
#include "base/shared_memory.h"
#include "base/syscall.h"
#include "transport/doorbell.h"
#include "transport/shm/event_bell.h"
#include "transport/shm/layout.h"
#include "transport/shm/semaphore_bell.h"
#include "transport/shm/shm_offer.h"
#include "transport/shm/shm_transport.h"

namespace nearcall::transport::shm {

namespace {

std::unique_ptr<Transport> MakeEnd(std::span<std::byte> own, std::span<std::byte> peer, std::unique_ptr<Bell> own_bell,
                                   std::unique_ptr<Bell> peer_bell, std::shared_ptr<const base::Mapping> memory) {
  return std::make_unique<ShmTransport>(ShmEnd{.own_region = own,
                                               .peer_region = peer,
                                               .own_bell = std::move(own_bell),
                                               .peer_bell = std::move(peer_bell),
                                               .memory = {std::move(memory)}});
}

}  // namespace

absl::StatusOr<TransportPair> MakeShmPair(size_t ring_size) {
  return MakePair(OfferShm({.ring_size_bytes = ring_size}), &AttachShm);
}

absl::StatusOr<TransportPair> MakeShmPairWithSocketBell(size_t ring_size) {
  return MakePair(OfferShm({.ring_size_bytes = ring_size, .socket_bell = true}), &AttachShm);
}

absl::StatusOr<TransportPair> MakeShmPairOnOneMapping(size_t ring_size) {
  const size_t client_size = ClientRegionSize(ring_size);
  const size_t server_size = ServerRegionSize(ring_size);
  absl::StatusOr<base::Fd> fd = base::CreateSharedMemory(client_size + server_size);
  if (!fd.ok()) return fd.status();
  absl::StatusOr<base::Mapping> mapping =
      base::Mapping::Map(*fd, 0, client_size + server_size, base::Mapping::Access::kReadWrite);
  if (!mapping.ok()) return mapping.status();
  const auto memory = std::make_shared<const base::Mapping>(*std::move(mapping));
  absl::StatusOr<base::Fd> bell = CreateDoorbell();
  if (!bell.ok()) return bell.status();
  base::Fd bell_copy = base::Duplicate(bell->get());
  if (!bell_copy.valid()) return base::ErrnoStatus("cannot duplicate a descriptor");

  const std::span<std::byte> client_region = memory->bytes().first(BellOffset(ring_size));
  const std::span<std::byte> server_region = memory->bytes().last(server_size);
  void* const bell_page = memory->bytes().data() + BellOffset(ring_size);
  return TransportPair{
      .client = MakeEnd(client_region, server_region, std::make_unique<SemaphoreBell>(bell_page),
                        std::make_unique<EventBell>(std::move(bell_copy)), memory),
      .server = MakeEnd(server_region, client_region, std::make_unique<EventBell>(*std::move(bell)),
                        std::make_unique<SemaphoreBell>(bell_page), memory),
  };
}

}  // namespace nearcall::transport::shm
