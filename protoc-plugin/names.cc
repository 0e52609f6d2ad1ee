#include "names.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/compiler/cpp/names.h"

namespace nearcall::plugin {

namespace cpp = ::google::protobuf::compiler::cpp;

namespace {

// All of these are sorted.
// clang-format off
constexpr absl::string_view kKeywords[] = {
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch", "char",
    "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return", "co_yield", "compl", "concept", "const",
    "const_cast", "consteval", "constexpr", "constinit", "continue", "decltype", "default", "delete", "do", "double",
    "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if",
    "inline", "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or",
    "or_eq", "private", "protected", "public", "register", "reinterpret_cast", "requires", "return", "short",
    "signed", "sizeof", "static", "static_assert", "static_cast", "struct", "switch", "template", "this",
    "thread_local", "throw", "true", "try", "typedef", "typeid", "typename", "union", "unsigned", "using", "virtual",
    "void", "volatile", "wchar_t", "while", "xor", "xor_eq"};

// Words that common compilers and headers define.
constexpr absl::string_view kMacros[] = {
    "EOF", "NULL", "assert", "errno", "i386", "linux", "stderr", "stdin", "stdout", "typeof", "unix"};

// What a generated class and the classes in it declare themselves.
constexpr absl::string_view kMembers[] = {
    "AsyncService", "AsyncStub", "CoService", "CoStub", "GetServiceInfo", "Methods", "Service", "Stub", "channel_",
    "kFullName"};
// clang-format on

static_assert(std::is_sorted(std::begin(kKeywords), std::end(kKeywords)));
static_assert(std::is_sorted(std::begin(kMacros), std::end(kMacros)));
static_assert(std::is_sorted(std::begin(kMembers), std::end(kMembers)));

template <size_t kSize>
bool Contains(const absl::string_view (&sorted)[kSize], absl::string_view name) {
  return std::binary_search(std::begin(sorted), std::end(sorted), name);
}

bool IsTaken(absl::string_view name) {
  return IsKeyword(name) || Contains(kMacros, name) || Contains(kMembers, name);
}

std::string Escaped(const std::string& name, bool taken) {
  return taken ? name + "_" : name;
}

}  // namespace

std::string BaseName(const google::protobuf::FileDescriptor& file) {
  return cpp::StripProto(file.name());
}

std::string Namespace(const google::protobuf::FileDescriptor& file) {
  return absl::StrReplaceAll(file.package(), {{".", "::"}});
}

std::string MessageName(const google::protobuf::Descriptor& message) {
  return cpp::QualifiedClassName(&message);
}

std::string ServiceName(const google::protobuf::ServiceDescriptor& service) {
  return Escaped(service.name(), IsTaken(service.name()));
}

std::string MethodName(const google::protobuf::MethodDescriptor& method) {
  // A method named like its service keeps its name: it is a member of the classes within, and collides with nothing.
  return Escaped(method.name(), IsTaken(method.name()));
}

bool IsKeyword(absl::string_view identifier) {
  return Contains(kKeywords, identifier);
}

}  // namespace nearcall::plugin
