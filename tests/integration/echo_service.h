// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "echo.nearcall.pb.h"

namespace nearcall::integration {

using Handler = std::function<absl::Status(ServerContext&, const Blob&, Blob&)>;

// Answers with the request.
absl::Status EchoBack(ServerContext& context, const Blob& request, Blob& reply);

Blob MakeBlob(std::string data);

// The service of the tests: each method runs a handler that the test chooses before the server starts.
class EchoService final : public Echo::Service {
 public:
  Handler say = EchoBack;  // of Low, High, Urgent and Hasty, too
  Handler may_block = EchoBack;
  std::function<absl::Status(ServerContext&, const Text&, Text&)> spell;

  absl::Status Say(ServerContext& context, const Blob& request, Blob& reply) override {
    return say(context, request, reply);
  }
  absl::Status Low(ServerContext& context, const Blob& request, Blob& reply) override {
    return say(context, request, reply);
  }
  absl::Status High(ServerContext& context, const Blob& request, Blob& reply) override {
    return say(context, request, reply);
  }
  absl::Status Urgent(ServerContext& context, const Blob& request, Blob& reply) override {
    return say(context, request, reply);
  }
  absl::Status Hasty(ServerContext& context, const Blob& request, Blob& reply) override {
    return say(context, request, reply);
  }
  absl::Status MayBlock(ServerContext& context, const Blob& request, Blob& reply) override {
    return may_block(context, request, reply);
  }
  absl::Status Spell(ServerContext& context, const Text& request, Text& reply) override {
    if (spell) return spell(context, request, reply);
    reply = request;
    return absl::OkStatus();
  }
};

// Leaves Nothing() to the generated base.
class SecondService final : public Second::Service {
 public:
  absl::Status Say(ServerContext&, const Blob& request, Blob& reply) override;
};

}  // namespace nearcall::integration
