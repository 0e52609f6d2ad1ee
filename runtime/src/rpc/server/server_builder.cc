// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/limits.h"
#include "base/no_memory.h"
#include "base/thread.h"
#include "nearcall/event_queue.h"
#include "nearcall/generic.h"
#include "nearcall/server.h"
#include "rpc/server/server.h"
#include "transport/address.h"
#include "transport/rendezvous.h"
#include "transport/rendezvous/inherited.h"
#include "transport/rendezvous/service_manager.h"
#include "transport/transport_table.h"

namespace nearcall {

struct ServerBuilder::State {
  struct Place {
    std::string address;
    ListenOptions options;
  };

  ServerOptions options;
  std::vector<Place> places;
  std::vector<base::Fd> fds;
  std::vector<Service*> services;
  std::vector<Service*> generic;
  bool started = false;
};

namespace {

absl::Status CheckRange(absl::string_view name, size_t value, size_t min, size_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("ServerOptions::", name, " is ", value, ", allowed are ", min, " to ", max));
}

absl::Status CheckOptions(const ServerOptions& options) {
  absl::Status status = CheckRange("max_message_size", options.max_message_size, 1, base::kMaxMessageSize);
  status.Update(CheckRange("max_queued_calls", options.max_queued_calls, 1, base::kMaxCallsInFlight));
  status.Update(CheckRange("stream_window_bytes", options.stream_window_bytes, 1, base::kMaxMessageSize));
  status.Update(CheckRange("max_waiting_handlers", options.max_waiting_handlers, 0, base::kMaxHandlerThreads));
  status.Update(CheckRange("max_handler_threads", options.max_handler_threads, 1, base::kMaxHandlerThreads));
  status.Update(CheckRange("max_connections_per_uid", options.max_connections_per_uid, 1, base::kMaxConnections));
  status.Update(CheckRange("expected_clients", options.expected_clients, 1, base::kMaxConnections));
  status.Update(CheckRange("max_priority", static_cast<size_t>(options.max_priority), 0, base::kLanes - 1));
  status.Update(base::Thread::CheckStack("ServerOptions::handler_stack_size", options.handler_stack_size));
  status.Update(CheckRange("max_total_calls", options.max_total_calls, 1, base::kMaxTotalCalls));
  status.Update(
      CheckRange("max_descriptors_per_message", options.max_descriptors_per_message, 0, base::kMaxMessageDescriptors));
  status.Update(CheckRange("max_attachment_bytes", options.max_attachment_bytes, 0, base::kMaxAttachmentBytes));
  if (options.trust_sender && options.max_attachment_bytes == 0) {
    status.Update(absl::InvalidArgumentError(
        "ServerOptions::trust_sender is of memory that clients pass, and max_attachment_bytes is 0: none may"));
  }
  if (options.max_total_descriptors != 0) {
    status.Update(CheckRange("max_total_descriptors", options.max_total_descriptors, base::kDescriptorsPerConnection,
                             base::kDescriptorsPerConnection * base::kMaxConnections));
  }
  if (options.max_total_bytes != 0) {
    status.Update(
        CheckRange("max_total_bytes", options.max_total_bytes, options.max_message_size, base::kMaxTotalBytes));
  }
  // Its own user's part: else no later server could tell whether this one lives.
  if (options.socket_mode.has_value() &&
      ((*options.socket_mode & 0600) != 0600 || (*options.socket_mode & ~0777u) != 0)) {
    status.Update(absl::InvalidArgumentError(
        absl::StrFormat("ServerOptions::socket_mode is %04o, allowed are 0600 to 0777, with both rights of the owner",
                        *options.socket_mode)));
  }
  if (options.event_queue != nullptr && options.event_queue->fd() < 0) {
    status.Update(absl::ResourceExhaustedError(
        "ServerOptions::event_queue has no descriptors: there were none left, or no memory, when it was made"));
  }
  if (options.handshake_timeout <= absl::ZeroDuration()) {
    status.Update(absl::InvalidArgumentError("ServerOptions::handshake_timeout must be more than zero"));
  }
  if (options.successor_grace < absl::ZeroDuration()) {
    status.Update(absl::InvalidArgumentError("ServerOptions::successor_grace must not be negative"));
  }
  if (options.abort_after_grace < absl::ZeroDuration()) {
    status.Update(absl::InvalidArgumentError("ServerOptions::abort_after_grace must not be negative"));
  }
  if (std::find(options.interceptors.begin(), options.interceptors.end(), nullptr) != options.interceptors.end()) {
    status.Update(absl::InvalidArgumentError("ServerOptions::interceptors has a null pointer"));
  }
  return status;
}

// Handlers of an event queue have no threads that may wait for their clients.
absl::Status CheckForQueue(const Service& service) {
  for (const internal::ServerMethod& method : service.GetServiceInfo().methods) {
    const internal::MethodKind kind = method.info.kind;
    if (method.suspends || (!internal::ClientStreams(kind) && !internal::ServerStreams(kind))) continue;
    return absl::InvalidArgumentError(absl::StrCat("ServerOptions::event_queue: ", method.info.full_name,
                                                   " streams, and its handler would wait for its client on the only "
                                                   "thread, which reads what it waits for. Register "
                                                   "the service's CoService, whose handlers are suspended instead"));
  }
  return absl::OkStatus();
}

absl::Status CheckForQueue(const ServerOptions& options, const std::vector<Service*>& services) {
  if (options.event_queue == nullptr) return absl::OkStatus();
  for (const Service* service : services) {
    if (service == nullptr) continue;  // see Register()
    if (absl::Status status = CheckForQueue(*service); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// Adds the transports that `address` means: of a socket that somebody else has made all, for which no words are needed.
void AddTransports(const transport::Address& address, rpc::Handshakes::Transports& transports) {
  using Kind = transport::Address::Kind;
  const bool is_adopted = address.kind == Kind::kFd || address.kind == Kind::kActivated;
  for (const transport::TransportRow& row : transport::Transports()) {
    if (is_adopted ? !row.MeetsAtSocket() : !row.IsMeantBy(address.transport)) continue;
    if (std::find(transports.begin(), transports.end(), &row) == transports.end()) transports.push_back(&row);
  }
}

// A listening socket that somebody else has made, for all transports.
absl::Status Adopt(base::Fd fd, std::vector<rpc::Door::Entry>& entries) {
  absl::StatusOr<std::unique_ptr<transport::Listener>> listener = transport::Listener::Adopt(std::move(fd));
  if (!listener.ok()) return listener.status();
  rpc::Handshakes::Transports all;
  AddTransports({.kind = transport::Address::Kind::kFd}, all);
  entries.push_back({.listener = *std::move(listener),
                     .transports = std::make_shared<const rpc::Handshakes::Transports>(std::move(all))});
  return absl::OkStatus();
}

absl::Status AdoptActivated(const transport::Address& address, std::vector<rpc::Door::Entry>& entries) {
  absl::StatusOr<std::vector<base::Fd>> sockets = transport::TakeActivatedSockets(address.name, address.text);
  if (!sockets.ok()) return sockets.status();
  for (base::Fd& socket : *sockets) {
    if (absl::Status adopted = Adopt(std::move(socket), entries); !adopted.ok()) return adopted;
  }
  return absl::OkStatus();
}

bool MeetsAtSocket(const transport::Address& address) {
  const transport::TransportRow* const row = transport::FindTransport(address.transport);
  return row == nullptr || row->MeetsAtSocket();
}

absl::StatusOr<transport::Address> ParseToListen(const std::string& text, const ListenOptions& options) {
  absl::StatusOr<transport::Address> address = transport::ParseAddress(text);
  if (!address.ok() || !options.shared) return address;
  using Kind = transport::Address::Kind;
  if (address->kind != Kind::kName && address->kind != Kind::kPath) {
    return absl::InvalidArgumentError(absl::StrCat(text, ": only a name or a path can be shared"));
  }
  if (!MeetsAtSocket(*address)) {
    return absl::InvalidArgumentError(
        absl::StrCat(text, ": servers cannot share a name over ", address->transport, ":, which has no socket"));
  }
  address->shared = true;
  return address;
}

// What this process was started with.
struct Passed {
  bool activated = false;  // sockets that the service manager has opened
  base::Fd parent;         // the socket to the client that has started it
};

absl::Status CheckIsForServers(const transport::Address& address) {
  if (address.kind != transport::Address::Kind::kExec) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      address.text, ": a channel connects there, and starts that program, whose server listens at \"inherited:\""));
}

// Several addresses of one name are one socket.
template <typename Places>
absl::StatusOr<std::vector<rpc::Door::Entry>> OpenEntries(const Places& wanted, const transport::SocketAccess& access,
                                                          Passed& passed) {
  struct Place {
    transport::Address address;
    rpc::Handshakes::Transports transports;
  };
  std::vector<rpc::Door::Entry> entries;
  std::vector<std::pair<std::string, Place>> places;
  for (const auto& [text, options] : wanted) {
    absl::StatusOr<transport::Address> address = ParseToListen(text, options);
    if (!address.ok()) return address.status();
    if (absl::Status is_for = CheckIsForServers(*address); !is_for.ok()) return is_for;
    if (address->kind == transport::Address::Kind::kActivated) {
      if (absl::Status adopted = AdoptActivated(*address, entries); !adopted.ok()) return adopted;
      passed.activated = true;
      continue;
    }
    if (address->kind == transport::Address::Kind::kInherited) {
      absl::StatusOr<base::Fd> socket = transport::TakeInheritedSocket(address->text);
      if (!socket.ok()) return socket.status();
      passed.parent = *std::move(socket);
      continue;
    }
    const std::string key =
        absl::StrCat(address->kind == transport::Address::Kind::kFd ? absl::StrCat("fd:", address->fd) : address->name,
                     address->shared ? " shared" : "", MeetsAtSocket(*address) ? "" : address->text);
    auto place = std::find_if(places.begin(), places.end(), [&](const auto& other) { return other.first == key; });
    if (place == places.end()) place = places.insert(place, {key, Place{*address, {}}});
    AddTransports(*address, place->second.transports);
  }
  for (auto& [key, place] : places) {
    absl::StatusOr<std::unique_ptr<transport::Listener>> listener = transport::Listener::Bind(place.address, access);
    if (!listener.ok()) return listener.status();
    entries.push_back({.listener = *std::move(listener),
                       .transports = std::make_shared<const rpc::Handshakes::Transports>(std::move(place.transports))});
  }
  return entries;
}

void SweepLeftovers() {
  for (const transport::TransportRow& row : transport::Transports()) {
    if (row.sweep != nullptr) row.sweep();
  }
}

// What the program owns. A server that is destroyed by one of its own threads (exit(3) in a handler destroys a global
// one) cannot wait for that thread, and so stays.
class ServerHandle final : public Server {
 public:
  explicit ServerHandle(std::unique_ptr<rpc::ServerImpl> server) : server_(std::move(server)) {}
  ~ServerHandle() override {
    if (server_->OnItsThread() && !server_->TryEndHere()) static_cast<void>(server_.release());
  }

  absl::Status ServeFd(int fd) override { return server_->ServeFd(fd); }
  absl::StatusOr<std::shared_ptr<Channel>> InProcessChannel(ChannelOptions options) override {
    return server_->InProcessChannel(std::move(options));
  }
  void Wait() override { server_->Wait(); }
  void Shutdown(absl::Duration grace) override { server_->Shutdown(grace); }
  std::string DebugString() const override { return server_->DebugString(); }
  void SetServing(absl::string_view service, bool serving) override { server_->SetServing(service, serving); }

 private:
  std::unique_ptr<rpc::ServerImpl> server_;
};

}  // namespace

ServerBuilder::ServerBuilder(ServerOptions options) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
}

ServerBuilder::~ServerBuilder() = default;

ServerBuilder& ServerBuilder::Listen(absl::string_view address, ListenOptions options) {
  state_->places.push_back({std::string(address), options});
  return *this;
}

ServerBuilder& ServerBuilder::ListenFd(int fd) {
  state_->fds.emplace_back(fd);
  return *this;
}

ServerBuilder& ServerBuilder::Register(Service* service) {
  state_->services.push_back(service);
  return *this;
}

ServerBuilder& ServerBuilder::RegisterGeneric(GenericService* service) {
  state_->generic.push_back(service);
  return *this;
}

ServerBuilder& ServerBuilder::RegisterGeneric(CoGenericService* service) {
  state_->generic.push_back(service);
  return *this;
}

absl::StatusOr<std::unique_ptr<Server>> ServerBuilder::StartServer(State& state) {
  if (absl::Status status = CheckOptions(state.options); !status.ok()) return status;
  const transport::SocketAccess access = {.mode = state.options.socket_mode,
                                          .group = state.options.socket_group,
                                          .take_over = state.options.allow_successor};
  for (const std::vector<Service*>* services : {&state.services, &state.generic}) {
    if (absl::Status status = CheckForQueue(state.options, *services); !status.ok()) return status;
  }
  ServerOptions& options = state.options;
  const auto is_inherited = [](const auto& place) { return absl::StartsWith(place.address, "inherited:"); };
  if (options.abort_after_grace == absl::InfiniteDuration() &&
      std::any_of(state.places.begin(), state.places.end(), is_inherited)) {
    options.abort_after_grace = absl::Nanoseconds(base::kOrphanPatienceNs);
  }
  auto server = std::make_unique<rpc::ServerImpl>(std::move(options));
  for (Service* service : state.services) {
    if (absl::Status status = server->Register(service); !status.ok()) return status;
  }
  for (Service* service : state.generic) {
    if (absl::Status status = server->RegisterGeneric(service); !status.ok()) return status;
  }
  Passed passed;
  absl::StatusOr<std::vector<rpc::Door::Entry>> entries = OpenEntries(state.places, access, passed);
  if (!entries.ok()) return entries.status();
  for (base::Fd& fd : state.fds) {
    if (absl::Status status = Adopt(std::move(fd), *entries); !status.ok()) return status;
  }
  SweepLeftovers();
  if (passed.parent.valid()) server->ServeParent(std::move(passed.parent));
  if (absl::Status status = server->Start(*std::move(entries)); !status.ok()) return status;
  if (passed.activated) server->TellServiceManager();
  return std::make_unique<ServerHandle>(std::move(server));
}

absl::StatusOr<std::unique_ptr<Server>> ServerBuilder::Start() {
  if (std::exchange(state_->started, true)) {
    return absl::FailedPreconditionError("ServerBuilder::Start was called before; make a new builder");
  }
  const base::CancelDisabled uncancelled;
  return base::OrNoMemory([this] { return StartServer(*state_); });
}

}  // namespace nearcall
