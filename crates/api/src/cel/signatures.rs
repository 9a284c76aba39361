//! Every function that an expression may call, by its types: CEL's standard functions, and the libraries of Kubernetes'
//! environment (k8s.io/apiserver/pkg/cel/environment/base.go). What they do is in `library`.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::types::{Overload, declare};

/// `@receiver:name(parameters) result` for members, `name(parameters) result` for the others.
const ALL: &str = "
_?_:_(bool,A,A) A
_&&_(bool,bool) bool
_||_(bool,bool) bool
!_(bool) bool
_==_(A,A) bool
_!=_(A,A) bool
@in(A,list<A>) bool
@in(A,map<A,B>) bool
_[_](list<A>,int) A
_[_](map<A,B>,A) B
_[_](optional<list<A>>,int) optional<A>
_[_](optional<map<A,B>>,A) optional<B>
_[?_](list<A>,int) optional<A>
_[?_](map<A,B>,A) optional<B>
_[?_](optional<list<A>>,int) optional<A>
_[?_](optional<map<A,B>>,A) optional<B>
_+_(int,int) int
_+_(uint,uint) uint
_+_(double,double) double
_+_(string,string) string
_+_(bytes,bytes) bytes
_+_(list<A>,list<A>) list<A>
_+_(timestamp,duration) timestamp
_+_(duration,timestamp) timestamp
_+_(duration,duration) duration
_-_(int,int) int
_-_(uint,uint) uint
_-_(double,double) double
_-_(timestamp,timestamp) duration
_-_(timestamp,duration) timestamp
_-_(duration,duration) duration
_*_(int,int) int
_*_(uint,uint) uint
_*_(double,double) double
_/_(int,int) int
_/_(uint,uint) uint
_/_(double,double) double
_%_(int,int) int
_%_(uint,uint) uint
-_(int) int
-_(double) double
size(string) int
size(bytes) int
size(list<A>) int
size(map<A,B>) int
@string:size() int
@bytes:size() int
@list<A>:size() int
@map<A,B>:size() int
type(A) type
dyn(A) dyn
bool(bool) bool
bool(string) bool
int(int) int
int(uint) int
int(double) int
int(string) int
int(timestamp) int
uint(uint) uint
uint(int) uint
uint(double) uint
uint(string) uint
double(double) double
double(int) double
double(uint) double
double(string) double
string(string) string
string(bool) string
string(int) string
string(uint) string
string(double) string
string(bytes) string
string(timestamp) string
string(duration) string
bytes(bytes) bytes
bytes(string) bytes
timestamp(timestamp) timestamp
timestamp(string) timestamp
timestamp(int) timestamp
duration(duration) duration
duration(string) duration
duration(int) duration
@string:contains(string) bool
@string:endsWith(string) bool
@string:startsWith(string) bool
@string:matches(string) bool
matches(string,string) bool
@timestamp:getFullYear() int
@timestamp:getFullYear(string) int
@timestamp:getMonth() int
@timestamp:getMonth(string) int
@timestamp:getDate() int
@timestamp:getDate(string) int
@timestamp:getDayOfMonth() int
@timestamp:getDayOfMonth(string) int
@timestamp:getDayOfWeek() int
@timestamp:getDayOfWeek(string) int
@timestamp:getDayOfYear() int
@timestamp:getDayOfYear(string) int
@timestamp:getHours() int
@timestamp:getHours(string) int
@timestamp:getMinutes() int
@timestamp:getMinutes(string) int
@timestamp:getSeconds() int
@timestamp:getSeconds(string) int
@timestamp:getMilliseconds() int
@timestamp:getMilliseconds(string) int
@duration:getHours() int
@duration:getMinutes() int
@duration:getSeconds() int
@duration:getMilliseconds() int
optional.of(A) optional<A>
optional.ofNonZeroValue(A) optional<A>
optional.none() optional<A>
@optional<A>:hasValue() bool
@optional<A>:value() A
@optional<A>:or(optional<A>) optional<A>
@optional<A>:orValue(A) A
@list<A>:first() optional<A>
@list<A>:last() optional<A>
@list<optional<A>>:unwrapOpt() list<A>
optional.unwrap(list<optional<A>>) list<A>
@string:charAt(int) string
@string:indexOf(string) int
@string:indexOf(string,int) int
@string:lastIndexOf(string) int
@string:lastIndexOf(string,int) int
@list<string>:join() string
@list<string>:join(string) string
@string:lowerAscii() string
@string:upperAscii() string
@string:replace(string,string) string
@string:replace(string,string,int) string
@string:split(string) list<string>
@string:split(string,int) list<string>
@string:substring(int) string
@string:substring(int,int) string
@string:trim() string
@string:format(list<dyn>) string
strings.quote(string) string
sets.contains(list<A>,list<A>) bool
sets.equivalent(list<A>,list<A>) bool
sets.intersects(list<A>,list<A>) bool
@list<A>:slice(int,int) list<A>
@list<A>:flatten() list<dyn>
@list<A>:flatten(int) list<dyn>
@list<A>:sort() list<A>
@list<A>:distinct() list<A>
@list<A>:reverse() list<A>
lists.range(int) list<int>
@list<int>:isSorted() bool
@list<uint>:isSorted() bool
@list<double>:isSorted() bool
@list<bool>:isSorted() bool
@list<string>:isSorted() bool
@list<bytes>:isSorted() bool
@list<timestamp>:isSorted() bool
@list<duration>:isSorted() bool
@list<int>:sum() int
@list<uint>:sum() uint
@list<double>:sum() double
@list<duration>:sum() duration
@list<int>:min() int
@list<uint>:min() uint
@list<double>:min() double
@list<bool>:min() bool
@list<string>:min() string
@list<bytes>:min() bytes
@list<timestamp>:min() timestamp
@list<duration>:min() duration
@list<int>:max() int
@list<uint>:max() uint
@list<double>:max() double
@list<bool>:max() bool
@list<string>:max() string
@list<bytes>:max() bytes
@list<timestamp>:max() timestamp
@list<duration>:max() duration
@list<A>:indexOf(A) int
@list<A>:lastIndexOf(A) int
@string:find(string) string
@string:findAll(string) list<string>
@string:findAll(string,int) list<string>
url(string) URL
isURL(string) bool
@URL:getScheme() string
@URL:getHost() string
@URL:getHostname() string
@URL:getPort() string
@URL:getEscapedPath() string
@URL:getQuery() map<string,list<string>>
quantity(string) Quantity
isQuantity(string) bool
@Quantity:sign() int
@Quantity:isInteger() bool
@Quantity:asInteger() int
@Quantity:asApproximateFloat() double
@Quantity:add(Quantity) Quantity
@Quantity:add(int) Quantity
@Quantity:sub(Quantity) Quantity
@Quantity:sub(int) Quantity
@Quantity:isGreaterThan(Quantity) bool
@Quantity:isLessThan(Quantity) bool
@Quantity:compareTo(Quantity) int
ip(string) IP
isIP(string) bool
ip.isCanonical(string) bool
@IP:family() int
@IP:isUnspecified() bool
@IP:isLoopback() bool
@IP:isLinkLocalMulticast() bool
@IP:isLinkLocalUnicast() bool
@IP:isGlobalUnicast() bool
string(IP) string
cidr(string) CIDR
isCIDR(string) bool
@CIDR:containsIP(string) bool
@CIDR:containsIP(IP) bool
@CIDR:containsCIDR(string) bool
@CIDR:containsCIDR(CIDR) bool
@CIDR:ip() IP
@CIDR:masked() CIDR
@CIDR:prefixLength() int
string(CIDR) string
semver(string) Semver
semver(string,bool) Semver
isSemver(string) bool
isSemver(string,bool) bool
@Semver:major() int
@Semver:minor() int
@Semver:patch() int
@Semver:isGreaterThan(Semver) bool
@Semver:isLessThan(Semver) bool
@Semver:compareTo(Semver) int
format.named(string) optional<Format>
format.dns1123Label() Format
format.dns1123Subdomain() Format
format.dns1035Label() Format
format.qualifiedName() Format
format.dns1123LabelPrefix() Format
format.dns1123SubdomainPrefix() Format
format.dns1035LabelPrefix() Format
format.labelValue() Format
format.uri() Format
format.uuid() Format
format.byte() Format
format.date() Format
format.datetime() Format
@Format:validate(string) optional<list<string>>
jsonpatch.escapeKey(string) string
@Authorizer:path(string) PathCheck
@Authorizer:group(string) GroupCheck
@Authorizer:serviceAccount(string,string) Authorizer
@GroupCheck:resource(string) ResourceCheck
@ResourceCheck:subresource(string) ResourceCheck
@ResourceCheck:namespace(string) ResourceCheck
@ResourceCheck:name(string) ResourceCheck
@ResourceCheck:fieldSelector(string) ResourceCheck
@ResourceCheck:labelSelector(string) ResourceCheck
@PathCheck:check(string) Decision
@ResourceCheck:check(string) Decision
@Decision:allowed() bool
@Decision:reason() string
@Decision:errored() bool
@Decision:error() string
";

/// Types that are ordered among their own; numbers also among each other.
const ORDERED: [&str; 8] = ["bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration"];
const NUMBERS: [&str; 3] = ["int", "uint", "double"];

/// The overloads of a function; `None`: there is no such function.
pub(super) fn overloads(name: &str) -> Option<&'static [Overload]> {
    static TABLE: OnceLock<HashMap<String, Vec<Overload>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table: HashMap<String, Vec<Overload>> = HashMap::new();
        let mut add = |text: &str| {
            let (name, overload) = declare(text);
            table.entry(name).or_default().push(overload);
        };
        ALL.lines().filter(|line| !line.is_empty()).for_each(&mut add);
        for sign in ["_<_", "_<=_", "_>_", "_>=_"] {
            for one in ORDERED {
                add(&format!("{sign}({one},{one}) bool"));
            }
            for one in NUMBERS {
                for other in NUMBERS.iter().filter(|other| **other != one) {
                    add(&format!("{sign}({one},{other}) bool"));
                }
            }
        }
        table
    });
    table.get(name).map(Vec::as_slice)
}
