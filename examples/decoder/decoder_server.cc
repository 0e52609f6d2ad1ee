// SPDX-License-Identifier: Apache-2.0

// Decodes for the program that has started it, in a sandbox, and ends with it.
#include <iostream>

#include "decode.h"
#include "decoder.nearcall.pb.h"
#include "sandbox.h"

class DecoderImpl final : public decoder::Decoder::Service {
  absl::Status Decode(nearcall::ServerContext&, const decoder::DecodeRequest& request,
                      decoder::Picture& picture) override {
    absl::StatusOr<decoder::Picture> decoded = decoder::Decode(request.file());
    if (decoded.ok()) picture.Swap(&*decoded);
    return decoded.status();
  }
};

int main() {
  if (absl::Status inside = decoder::EnterSandbox(); !inside.ok()) {
    std::cerr << inside << "\n";
    return 1;
  }
  DecoderImpl service;
  auto server = nearcall::ServerBuilder().Listen("inherited:").Register(&service).Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();
}
