# frozen_string_literal: true

require 'fileutils'
require 'open3'
require 'tmpdir'
require_relative 'package'

module Release
  # Compiles a package as bosh-agent does on a compilation VM: `bash -x packaging` in the compile directory, the
  # declared dependencies in /var/vcap/packages, and, which BOSH does not promise otherwise, no network.
  #
  # A result is kept outside the checkout under a key of everything it was made from, so the next run finds it.
  class Compile
    CACHE = ENV.fetch('COMPILE_CACHE', '/var/tmp/mariadb-galera-compiled')
    # What a compiler of another release of the system makes is another package, as it is for BOSH's stemcells.
    SYSTEM = File.read('/etc/os-release')[/^PRETTY_NAME="?([^"\n]+)/, 1]

    attr_reader :package

    def initialize(package, cache: CACHE, progress: ->(line) { warn line })
      @package, @cache, @progress = package, cache, progress
    end

    def key
      @key ||= begin
        Digest::SHA256.hexdigest([SYSTEM, package.fingerprint, *dependencies.map(&:key)].join(' '))[0, 40]
      end
    end

    # Where the compiled package lies, once it does.
    def directory = File.join(@cache, package.name, key)
    def log = "#{directory}.log"
    def compiled? = Dir.exist?(directory)

    # Compiles what is not there yet, dependencies first. Returns the directory.
    def call
      raise Failed, 'compiling needs root, for namespaces of its own' unless Process.uid.zero?
      return directory if compiled?
      raise Failed, "package #{package.name} is vendored: what it is made from is in another release" if package.vendored?
      compiled = dependencies.to_h { |d| [d.package.name, d.call] }
      FileUtils.mkdir_p(File.dirname(directory))
      File.open(File.join(File.dirname(directory), '.lock'), File::RDWR | File::CREAT) do |lock|
        # Two who want the same wait for one.
        lock.flock(File::LOCK_EX)
        compile(compiled) unless compiled?
      end
      directory
    end

    private

    def dependencies = @dependencies ||= package.dependencies.map { |d| Compile.new(d, cache: @cache, progress: @progress) }

    def compile(compiled)
      @progress.call("compiling #{package.name} (#{package.fingerprint[0, 12]}); its output goes to #{log}")
      began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      Dir.mktmpdir("#{package.name}-", @cache) do |vcap|
        File.chmod(0o755, vcap)
        prepare(vcap, compiled)
        run(vcap, compiled)
        File.rename(File.join(vcap, 'packages', package.name), directory)
      end
      @progress.call("compiled #{package.name} in #{(Process.clock_gettime(Process::CLOCK_MONOTONIC) - began).round} s")
    end

    def prepare(vcap, compiled)
      target = File.join(vcap, 'data/compile', package.name)
      FileUtils.mkdir_p([target, *[package.name, *compiled.keys].map { |p| File.join(vcap, 'packages', p) }])
      package.files.each do |path, file|
        FileUtils.mkdir_p(File.dirname(File.join(target, path)))
        FileUtils.copy_entry(file, File.join(target, path))
      end
      FileUtils.cp(package.directory('packaging'), target)
    end

    def run(vcap, compiled)
      environment = { 'PATH' => '/usr/sbin:/usr/bin:/sbin:/bin', 'LANG' => 'C',
                      'BOSH_COMPILE_TARGET' => "/var/vcap/data/compile/#{package.name}",
                      'BOSH_INSTALL_TARGET' => "/var/vcap/packages/#{package.name}",
                      'BOSH_PACKAGE_NAME' => package.name, 'BOSH_PACKAGE_VERSION' => package.fingerprint }
      command = ['unshare', '--net', '--mount', '--pid', '--fork', '--mount-proc', '--kill-child',
                 File.join(__dir__, 'compile.sh'), vcap, *compiled.flatten]
      output = { in: '/dev/null', %i[out err] => [log, 'w'], unsetenv_others: true, chdir: '/' }
      return if system(environment, *command, **output)
      raise Failed, "package #{package.name} does not compile; the end of #{log}:\n#{File.readlines(log).last(25).join}"
    end
  end
end
