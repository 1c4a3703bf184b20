# frozen_string_literal: true

require 'fileutils'
require_relative '../release.d/compile'

module LabParts
  # What lies in /var/vcap/packages: our executables as Cargo built them, links onto what Debian has installed; or, where
  # LAB_COMPILED names them ("1" means all), this release's packages as `ci/compile` made them.
  class Packages
    MARIADB = %w[mariadb mariadb-install-db mariadb-backup mariabackup mbstream mariadb-upgrade mariadb-check my_print_defaults
                 resolveip mariadb-dump].freeze
    COMPILED = %w[galera-4 haproxy mariadb mariadb-galera rsync socat].freeze

    def initialize(dir) = @dir = dir

    def install
      compiled = ENV['LAB_COMPILED'] == '1' ? COMPILED : ENV.fetch('LAB_COMPILED', '').split(',')
      compiled.each { |name| link(compiled_package(name), File.join(@dir, name)) }
      debian.except(*compiled).each { |name, links| tree(name, links) }
      ours unless compiled.include?('mariadb-galera')
    end

    def names = Dir.children(@dir)

    private

    def ours
      bin = File.join(@dir, 'mariadb-galera', 'bin')
      FileUtils.mkdir_p(bin)
      built = File.join(Lab::RELEASE, 'target', ENV.fetch('LAB_PROFILE', 'release'), 'galera-*')
      programs = Dir[built].select { |f| File.executable?(f) && File.file?(f) }
      raise Failed, 'there are no executables: run `cargo build --release` first' if programs.empty?
      programs.each do |program|
        # A running program cannot be written over, but its name can be given to another file.
        FileUtils.cp(program, "#{bin}/.new")
        File.rename("#{bin}/.new", File.join(bin, File.basename(program)))
      end
    end

    # socat and rsync are found by PATH.
    def debian
      { 'mariadb' => mariadb, 'galera-4' => { 'lib/libgalera_smm.so' => '/usr/lib/galera/libgalera_smm.so', 'bin/garbd' => '/usr/bin/garbd' },
        'haproxy' => { 'bin/haproxy' => '/usr/sbin/haproxy' } }
    end

    def compiled_package(name)
      compile = Release::Compile.new(Release::Package.new(name))
      raise Failed, "LAB_COMPILED: package #{name} is not compiled: run `ci/compile #{name}`" unless compile.compiled?
      compile.directory
    rescue Release::Failed => e
      raise Failed, "LAB_COMPILED: #{e.message}"
    end

    def mariadb
      links = { 'share/mysql' => '/usr/share/mysql', 'lib/plugin' => '/usr/lib/mysql/plugin',
                'bin/mariadbd' => '/usr/sbin/mariadbd', 'sbin/mariadbd' => '/usr/sbin/mariadbd' }
      (MARIADB + Dir['/usr/bin/wsrep_sst_*'].map { |f| File.basename(f) }).each { |n| links["bin/#{n}"] = "/usr/bin/#{n}" }
      # Debian's own scripts look in share/mysql, a server built from source in share.
      Dir.children('/usr/share/mysql').each { |n| links["share/#{n}"] = "/usr/share/mysql/#{n}" }
      links
    end

    def tree(name, links)
      links.each { |at, target| link(target, File.join(@dir, name, at)) if File.exist?(target) }
    end

    def link(target, at)
      FileUtils.mkdir_p(File.dirname(at))
      File.symlink(target, at) unless File.symlink?(at)
    end
  end
end
