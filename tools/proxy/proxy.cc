// SPDX-License-Identifier: Apache-2.0
#include "proxy.h"

#include <grp.h>
#include <pwd.h>

#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "credentials.h"
#include "settings.h"

namespace nearcall::proxy {

namespace {

absl::StatusOr<uid_t> UserOf(const std::string& name) {
  uint32_t number = 0;
  if (absl::SimpleAtoi(name, &number)) return number;
  const passwd* const user = ::getpwnam(name.c_str());
  if (user == nullptr) return absl::NotFoundError(absl::StrCat("there is no user ", name));
  return user->pw_uid;
}

absl::StatusOr<gid_t> GroupOf(const std::string& name) {
  uint32_t number = 0;
  if (absl::SimpleAtoi(name, &number)) return number;
  const group* const found = ::getgrnam(name.c_str());
  if (found == nullptr) return absl::NotFoundError(absl::StrCat("there is no group ", name));
  return found->gr_gid;
}

// Who may call. Nobody named: as any server, its own user and root.
absl::Status Allow(const Name& name, ServerOptions& options) {
  for (const std::string& user : name.user()) {
    const absl::StatusOr<uid_t> uid = UserOf(user);
    if (!uid.ok()) return uid.status();
    options.allowed_uids.push_back(*uid);
  }
  for (const std::string& its_group : name.group()) {
    const absl::StatusOr<gid_t> gid = GroupOf(its_group);
    if (!gid.ok()) return gid.status();
    options.allowed_gids.push_back(*gid);
  }
  if (!options.allowed_uids.empty()) options.allowed_uids.insert(options.allowed_uids.end(), {::geteuid(), 0});
  if (options.allowed_gids.size() == 1) options.socket_group = options.allowed_gids.front();
  if (!name.user().empty() || options.allowed_gids.size() > 1) options.socket_mode = 0666;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<grpc::Route>> RoutesOf(const Port& port, const grpc::PortOptions& options) {
  std::vector<grpc::Route> routes;
  for (const Route& configured : port.route()) {
    grpc::Route route;
    // Its server may come, go and come again.
    absl::StatusOr<std::shared_ptr<Channel>> channel =
        Channel::Connect(configured.to(), {.max_message_size = options.max_message_size,
                                           .max_queued_bytes = options.max_total_bytes,
                                           .max_calls_in_flight = options.max_calls,
                                           .lazy = true});
    if (!channel.ok()) return channel.status();
    route.channel = *std::move(channel);
    route.services.assign(configured.service().begin(), configured.service().end());
    if (!configured.descriptor_set().empty()) {
      absl::StatusOr<std::string> files = ReadFile(configured.descriptor_set());
      if (!files.ok()) return files.status();
      route.descriptor_set = *std::move(files);
    }
    routes.push_back(std::move(route));
  }
  return routes;
}

}  // namespace

absl::Status Proxy::Start(const Config& config) {
  for (const Port& port : config.port()) {
    if (absl::Status opened = Open(port); !opened.ok()) return opened;
  }
  for (const Name& name : config.name()) {
    if (absl::Status opened = Open(name); !opened.ok()) return opened;
  }
  return absl::OkStatus();
}

absl::Status Proxy::Open(const Port& port) {
  absl::StatusOr<std::shared_ptr<::grpc::ServerCredentials>> credentials = CredentialsOf(port);
  if (!credentials.ok()) return credentials.status();
  grpc::PortOptions options;
  options.credentials = *std::move(credentials);
  if (port.max_calls() != 0) options.max_calls = port.max_calls();
  if (port.max_message_size() != 0) options.max_message_size = port.max_message_size();
  absl::StatusOr<std::vector<grpc::Route>> routes = RoutesOf(port, options);
  if (!routes.ok()) return routes.status();
  absl::StatusOr<std::unique_ptr<grpc::Port>> opened = grpc::Port::Open(*std::move(routes), port.listen(), options);
  if (!opened.ok()) return opened.status();
  const std::string listen = absl::StrCat(port.listen().substr(0, port.listen().rfind(':')), ":", (*opened)->number());
  for (const Route& route : port.route()) lines_.push_back(absl::StrCat(listen, " -> ", route.to()));
  ports_.push_back(*std::move(opened));
  return absl::OkStatus();
}

absl::Status Proxy::Open(const Name& name) {
  absl::StatusOr<std::shared_ptr<::grpc::ChannelCredentials>> credentials = CredentialsOf(name);
  if (!credentials.ok()) return credentials.status();
  // What the other server says of itself is to be heard, not what this one would.
  ServerOptions options = {.health = false, .reflection = false, .stats = false};
  grpc::RemoteOptions remote_options;
  remote_options.credentials = *std::move(credentials);
  if (name.max_message_size() != 0) {
    options.max_message_size = remote_options.max_message_size = name.max_message_size();
  }
  if (absl::Status allowed = Allow(name, options); !allowed.ok()) return allowed;
  absl::StatusOr<std::unique_ptr<grpc::Remote>> remote = grpc::Remote::Open(name.to(), remote_options);
  if (!remote.ok()) return remote.status();
  ServerBuilder builder(options);
  for (const std::string& listen : name.listen()) {
    builder.Listen(listen);
    lines_.push_back(absl::StrCat(listen, " -> ", name.to()));
  }
  absl::StatusOr<std::unique_ptr<Server>> server = builder.RegisterGeneric(remote->get()).Start();
  if (!server.ok()) return server.status();
  names_.push_back({*std::move(remote), *std::move(server)});
  return absl::OkStatus();
}

void Proxy::Drain(absl::Duration grace) {
  for (const OpenName& name : names_) name.server->Shutdown(grace);
  std::vector<std::thread> closing;
  for (const auto& port : ports_) closing.emplace_back([&port, grace] { port->Close(grace); });
  for (std::thread& thread : closing) thread.join();
  for (const OpenName& name : names_) name.server->Wait();
}

}  // namespace nearcall::proxy
