// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "descriptors.nearcall.pb.h"
#include "fixture.h"
#include "nearcall/unique_fd.h"

namespace nearcall::integration {

// A descriptor by whose content it is known again.
UniqueFd FileOf(const std::string& text);
std::string TextOf(const UniqueFd& file);
std::string TextsOf(const std::vector<UniqueFd>& files);  // "a|b"

// Of this process.
size_t OpenDescriptors();

// Each method runs a handler that the test chooses; by default it answers with a file for each that has come.
class FileService final : public Files::Service {
 public:
  std::function<absl::Status(ServerContext&, const Blob&, Blob&)> swap = &Return;
  std::function<absl::Status(ServerContext&, const Blob&)> drop = [](ServerContext&, const Blob&) {
    return absl::OkStatus();
  };

  // The texts of what has come are the reply's data, and it gives "re:" and each of them back.
  static absl::Status Return(ServerContext& context, const Blob& request, Blob& reply);

  absl::Status Swap(ServerContext& context, const Blob& request, Blob& reply) override {
    return swap(context, request, reply);
  }
  absl::Status Drop(ServerContext& context, const Blob& request) override { return drop(context, request); }
  absl::Status Undeclared(ServerContext& context, const Blob& request, Blob& reply) override {
    return swap(context, request, reply);
  }
  absl::Status Down(ServerContext& context, const Blob& request, ServerWriter<Blob>& writer) override;
  absl::Status Up(ServerContext& context, ServerReader<Blob>& reader, Blob& reply) override;
  absl::Status Chat(ServerContext& context, ServerReaderWriter<Blob, Blob>& chat) override;
};

// The same in coroutines, for streams.
class SuspendingFileService final : public Files::CoService {
 public:
  Task<absl::Status> Chat(ServerContext& context, CoServerReaderWriter<Blob, Blob>& chat) override;
};

// Serves Files over the transport under test, and takes descriptors.
class DescriptorsTest : public IntegrationTest {
 protected:
  static ServerOptions Granting(size_t max_descriptors = 16) {
    ServerOptions options;
    options.max_descriptors_per_message = max_descriptors;
    return options;
  }
  std::unique_ptr<Server> StartServer(ServerOptions options = Granting());
  Files::Stub ConnectFiles(ChannelOptions options = {}) { return Files::Stub(Connect(std::move(options))); }

  // A call with a file for each of the `texts`; what comes back goes to `returned`, if that is not null.
  static absl::StatusOr<Blob> Swap(const Files::Stub& stub, const std::vector<std::string>& texts,
                                   std::vector<UniqueFd>* returned = nullptr, const Blob& request = {});

  FileService files;
};

// Those that are lent by a call.
std::vector<int> NumbersOf(const std::vector<UniqueFd>& files);

}  // namespace nearcall::integration
