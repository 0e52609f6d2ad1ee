// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/limits.h"
#include "base/shared_memory.h"
#include "transport/transport.h"
#include "transport/transport_table.h"
#include "wire/header.h"

namespace nearcall::fuzz {

// What the server hands to a client.
struct TakenOffer {
  std::vector<base::Fd> fds;
  transport::Geometry geometry{};
  base::Mapping region;  // shm: all of region C, mapped for writing before the server seals it
};

// A client that has shaken hands as it should, holds what the server gave it, and does as it likes.
class HostileClient {
 public:
  // `socket` is connected to the server, which offers `row`.
  HostileClient(int socket, const transport::TransportRow& row);
  // Where the server offers `row` without a socket.
  HostileClient(const std::string& address, const transport::TransportRow& row);

  // The header of the next frame of lane `lane`, as an honest client would write it, but for the message.
  wire::FrameHeader NextHeader(int lane);

  // Sends bytes as a frame, right or wrong; drops them if there is no room.
  void SendFrame(std::span<const std::byte> frame);

  // Past the transport: into the pipe, FIFO or queue itself; nothing over shm.
  void SendRaw(std::span<const std::byte> bytes);

  // Region C: control page, ring and bell page. Empty but for shm.
  std::span<std::byte> region() { return offer_.region.bytes(); }

  // Says on its control page that it sleeps: the server rings for the next reply. Nothing but for shm.
  void FallAsleep();

  // Writes over the bell, where the server rings; nothing but for shm.
  void WriteBell(size_t at, std::span<const std::byte> bytes);

  // The same `times` over, with random bytes at random places.
  void WriteBellOften(uint32_t seed, size_t times);

  // Changes the flags of every descriptor that the server may have shared; but it never blocks itself.
  void SetBlocking(bool blocking);

  void Ring();
  void SendControl(std::span<const std::byte> bytes);
  void SendControlWithDescriptor(std::span<const std::byte> bytes, const base::Fd& fd);

  // On the side socket, right or wrong, with `fd` so many times; dropped if there is no room.
  void SendLetter(std::span<const std::byte> letter, const base::Fd& fd, size_t count);
  // Takes letters, as many as there are and at most `count`, and closes what they bring.
  void ReadLetters(size_t count);
  void CloseSideSocket() { side_socket_.Reset(); }

  // Takes replies, as many as there are and at most `count`.
  void Read(size_t count);

 private:
  // While it sends or reads: the server may have hung up, and nobody would ever take what it sends, or reply.
  class Unblocked {
   public:
    explicit Unblocked(HostileClient& client) : client_(client) {
      if (client.blocking_) client.SetFlags(false);
    }
    ~Unblocked() {
      if (client_.blocking_) client_.SetFlags(true);
    }
    Unblocked(const Unblocked&) = delete;
    Unblocked& operator=(const Unblocked&) = delete;

   private:
    HostileClient& client_;
  };

  void SetFlags(bool blocking);
  int fifo() const { return transport_->event_fds().writable; }
  std::span<std::byte> bell_page();

  bool blocking_ = false;
  base::Fd control_;
  TakenOffer offer_;
  base::Fd side_socket_;
  std::unique_ptr<transport::Transport> transport_;
  uint32_t id_ = 0;  // source of what it sends
  std::array<uint64_t, base::kLanes> sequences_{};
};

}  // namespace nearcall::fuzz
