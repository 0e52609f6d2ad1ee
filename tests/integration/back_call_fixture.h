// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "fixture.h"

namespace nearcall::integration {

// `Say` of the server calls `Say` of its client, and answers with what that has said.
inline absl::Status AskTheClient(ServerContext& context, const Blob& request, Blob& reply) {
  return Echo::Stub(context.client()).Say(request, &reply, CallOptions::FromServer(context));
}

class BackCallTest : public IntegrationTest {
 protected:
  BackCallTest() { echo.say = AskTheClient; }

  // The channel, which serves `mine`.
  std::shared_ptr<Channel> ConnectServing(ChannelOptions options = {}) {
    options.services = {&mine};
    return Connect(std::move(options));
  }

  // A handler that hands out the channel to its client.
  void HandOutTheClient() {
    echo.say = [this](ServerContext& context, const Blob&, Blob&) {
      client = context.client();
      return absl::OkStatus();
    };
  }
  // The same, by a call over `channel`.
  std::shared_ptr<Channel> ClientOf(const std::shared_ptr<Channel>& channel) {
    Must(Echo::Stub(channel).Say(MakeBlob("")).status());
    return client;
  }

  EchoService mine;
  std::shared_ptr<Channel> client;
};

}  // namespace nearcall::integration
