// SPDX-License-Identifier: Apache-2.0

// A server that says of each call who has made it and how it has ended, and takes none without the token. Its handlers
// know nothing of either.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "audit.nearcall.pb.h"
#include "nearcall/interceptor.h"

namespace {

class LedgerImpl final : public audit::Ledger::Service {
  absl::Status Add(nearcall::ServerContext&, const audit::Entry& request, audit::Entries& reply) override {
    const std::lock_guard lock(mutex_);
    entries_.push_back(request);
    reply.set_count(static_cast<int>(entries_.size()));
    return absl::OkStatus();
  }

  absl::Status List(nearcall::ServerContext&, const audit::Entries&,
                    nearcall::ServerWriter<audit::Entry>& writer) override {
    const std::lock_guard lock(mutex_);
    for (const audit::Entry& entry : entries_) {
      if (!writer.Write(entry)) break;
    }
    return absl::OkStatus();
  }

  std::mutex mutex_;
  std::vector<audit::Entry> entries_;
};

// A line for each call, those that the next one refuses too.
class AuditLog final : public nearcall::ServerInterceptor {
  absl::StatusOr<nearcall::OnCallEnd> Start(const nearcall::CallInfo&, nearcall::ServerContext& context) override {
    return [this, &context](const nearcall::CallEnd& end) {
      const std::lock_guard lock(mutex_);
      std::cout << "user " << context.peer().uid << ": " << end.call.method << ", "
                << absl::StatusCodeToString(end.status.code()) << ", " << end.received << " received, " << end.sent
                << " sent" << std::endl;
    };
  }

  std::mutex mutex_;
};

class TokenCheck final : public nearcall::ServerInterceptor {
 public:
  explicit TokenCheck(std::string token) : token_(std::move(token)) {}

 private:
  absl::StatusOr<nearcall::OnCallEnd> Start(const nearcall::CallInfo& call, nearcall::ServerContext& context) override {
    if (call.method.substr(0, 6) != "audit." || context.client_metadata().Get("token") == token_) return nullptr;
    return absl::UnauthenticatedError("the ledger wants a token");
  }

  const std::string token_;
};

}  // namespace

int main() {
  const char* const token = std::getenv("LEDGER_TOKEN");
  if (token == nullptr) {
    std::cerr << "LEDGER_TOKEN is not set\n";
    return 1;
  }
  LedgerImpl ledger;
  auto server =
      nearcall::ServerBuilder(
          {.handle_signals = true, .interceptors = {std::make_shared<AuditLog>(), std::make_shared<TokenCheck>(token)}})
          .Listen("ledger")
          .Register(&ledger)
          .Start();
  if (!server.ok()) {
    std::cerr << server.status() << "\n";
    return 1;
  }
  (*server)->Wait();
}
