// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "fixture.h"
#include "stream_fixture.h"
#include "suspending_service.h"

namespace nearcall::integration {

// Serves Streams, whose handlers are coroutines, and Echo.
class SuspendingTest : public IntegrationTest {
 protected:
  using Chat = ClientReaderWriter<Blob, Blob>;

  std::unique_ptr<Server> StartServer(ServerOptions options = {});
  Streams::Stub ConnectStreams(ChannelOptions options = {}) { return Streams::Stub(Connect(std::move(options))); }

  static bool PingPong(Chat& chat, size_t number = 1, size_t size = 10);

  // A chat whose handler waits for the next element. No deadline would wake it.
  std::unique_ptr<Chat> OpenChat(const Streams::Stub& stub, CallOptions options = {});

  // The handlers of chats count how they end.
  void WatchTheEnd();

  SuspendingService suspending;
  Counter cancelled;
  Counter unwritten;
  Counter ended;
};

}  // namespace nearcall::integration
