// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "commands.h"
#include "printable.h"

namespace nearcall::tools {

namespace {

using google::protobuf::MethodDescriptor;

std::string Signature(const MethodDescriptor& method) {
  const auto side = [](bool streams, const google::protobuf::Descriptor& type) {
    return absl::StrCat(streams ? "stream " : "", std::string(type.full_name()));
  };
  return absl::StrCat(std::string(method.service()->full_name()), "/", std::string(method.name()), "(",
                      side(method.client_streaming(), *method.input_type()), ") returns (",
                      side(method.server_streaming(), *method.output_type()), ")");
}

Outcome ListNames(Schema& schema) {
  const absl::StatusOr<std::vector<std::string>> names = schema.Services();
  if (!names.ok()) return OfSchema(names.status());
  for (const std::string& name : *names) std::printf("%s\n", Printable(name).c_str());
  return {};
}

Outcome ListMethods(Schema& schema, const std::string& name) {
  const auto service = schema.FindService(name);
  if (!service.ok()) return OfSchema(service.status());
  for (int i = 0; i < (*service)->method_count(); ++i) {
    std::printf("%s\n", Signature(*(*service)->method(i)).c_str());
  }
  return {};
}

// Needs a server only where there are no files.
Outcome WithSchema(const Settings& settings, const auto& use) {
  std::shared_ptr<Channel> channel;
  if (!settings.has_files()) {
    if (settings.address.empty()) {
      return Outcome::Because(kUsage, "an ADDRESS is wanted, or --proto or --protoset in its place");
    }
    auto connected = ConnectTo(settings.address, settings.deadline);
    if (!connected.ok()) return Outcome::OfConnect(connected.status());
    channel = *std::move(connected);
  }
  const auto schema = MakeSchema(settings, channel);
  return schema.ok() ? use(**schema) : OfSchema(schema.status());
}

}  // namespace

Outcome ListServices(const Settings& settings) {
  return WithSchema(settings, [&](Schema& schema) {
    return settings.name.empty() ? ListNames(schema) : ListMethods(schema, settings.name);
  });
}

Outcome Describe(const Settings& settings) {
  return WithSchema(settings, [&](Schema& schema) -> Outcome {
    const absl::StatusOr<std::string> text = schema.Describe(settings.name);
    if (!text.ok()) return OfSchema(text.status());
    std::fputs(text->c_str(), stdout);
    return {};
  });
}

}  // namespace nearcall::tools
