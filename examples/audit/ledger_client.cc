// SPDX-License-Identifier: Apache-2.0

// ledger_client TEXT...: adds an entry for each text, and prints all there are. Each call has the token of
// $LEDGER_TOKEN, if there is one; who makes it knows nothing of that.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "audit.nearcall.pb.h"
#include "nearcall/interceptor.h"

namespace {

class AddToken final : public nearcall::ClientInterceptor {
 public:
  explicit AddToken(std::string token) : token_(std::move(token)) {}

 private:
  absl::StatusOr<nearcall::OnCallEnd> Start(const nearcall::CallInfo&, nearcall::CallOptions& options) override {
    options.metadata.Add("token", token_);
    return nullptr;  // how the call ends is of no interest
  }

  const std::string token_;
};

absl::Status Run(const audit::Ledger::Stub& ledger, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    audit::Entry entry;
    entry.set_text(argv[i]);
    const absl::StatusOr<audit::Entries> added = ledger.Add(entry);
    if (!added.ok()) return added.status();
  }
  const auto all = ledger.List({});
  for (const audit::Entry& entry : *all) std::cout << entry.text() << "\n";
  return all->Finish();
}

}  // namespace

int main(int argc, char** argv) {
  nearcall::ChannelOptions options = {.connect_timeout = absl::Seconds(5)};
  if (const char* const token = std::getenv("LEDGER_TOKEN"); token != nullptr) {
    options.interceptors.push_back(std::make_shared<AddToken>(token));
  }
  const auto channel = nearcall::Channel::Connect("ledger", options);
  const absl::Status status = channel.ok() ? Run(audit::Ledger::Stub(*channel), argc, argv) : channel.status();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
