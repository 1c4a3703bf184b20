# frozen_string_literal: true
# Renders a job's ERB templates as the director does: the same helpers, the same scope.
require 'erb'
require 'yaml'
require 'json'
require 'ostruct'
require 'shellwords'

module JobTemplates
  class MissingProperty < StandardError; end
  class MissingLink < StandardError; end

  # result of if_p / if_link: remembers whether a branch was taken already
  Branch = Struct.new(:scope, :taken) do
    def else; yield unless taken; end
    def else_if_p(*names, &blk) = taken ? self : scope.if_p(*names, &blk)
    def else_if_link(name, &blk) = taken ? self : scope.if_link(name, &blk)
  end

  module Lookup
    def dig_dotted(tree, dotted)
      dotted.split('.').reduce(tree) { |node, key| node.nil? ? nil : node[key] }
    end

    def p(names, *fallback)
      found = Array(names).map { |n| dig_dotted(lookup_root, n) }.find { |v| !v.nil? }
      return found unless found.nil?
      return fallback.first unless fallback.empty?
      raise MissingProperty, "Can't find property '#{Array(names)}'"
    end

    def if_p(*names)
      values = names.map { |n| dig_dotted(lookup_root, n) }
      return Branch.new(self, false) if values.any?(&:nil?)
      yield(*values)
      Branch.new(self, true)
    end
  end

  class Instance
    include Lookup
    FIELDS = %w[name index id az address bootstrap properties].freeze
    attr_reader(*FIELDS)
    def initialize(hash) = FIELDS.each { |f| instance_variable_set("@#{f}", hash[f]) }
    def lookup_root = properties
  end

  class LinkView
    include Lookup
    attr_reader :instances, :properties
    def initialize(hash)
      @instances = hash['instances'].map { |i| Instance.new(i) }
      @properties = hash['properties']
      @address = hash['address']
    end
    def lookup_root = properties
    def address(**_criteria) = @address || raise(NotImplementedError, 'link.address is made by the director')
  end

  class Scope
    include Lookup
    attr_reader :name, :index, :spec, :properties, :raw_properties
    def initialize(spec, properties, links)
      @name, @index = spec.values_at('name', 'index')
      @raw_properties, @links = properties, links
      @properties, @spec = wrap(properties), wrap(spec.merge('properties' => properties, 'links' => links))
    end
    def lookup_root = raw_properties
    def get_binding = binding
    def link(name) = view(name) || raise(MissingLink, "Can't find link '#{name}'")
    def if_link(name)
      found = view(name) or return Branch.new(self, false)
      yield found
      Branch.new(self, true)
    end

    private

    def view(name)
      hash = dig_dotted(@links, name)
      LinkView.new(hash) if hash&.key?('instances')
    end

    def wrap(value)
      case value
      when Hash then OpenStruct.new(value.transform_values { |v| wrap(v) })
      when Array then value.map { |v| wrap(v) }
      else value
      end
    end
  end

  class Job
    def initialize(release_dir, name)
      @dir = File.join(release_dir, 'jobs', name)
      @spec = YAML.load_file(File.join(@dir, 'spec'))
    end

    def destinations = @spec.fetch('templates', {}).values + ['monit']
    def consumes = (@spec['consumes'] || []).map { |c| c['name'] }

    # name of a link => the properties that it shares
    def provides = (@spec['provides'] || []).to_h { |l| [l['name'], l['properties'] || []] }

    # What a consumer of a link sees: the declared properties, with the spec's defaults.
    def shared(declared, given)
      all = effective(given)
      declared.each_with_object({}) do |dotted, out|
        value = dotted.split('.').reduce(all) { |node, key| node.nil? ? nil : node[key] }
        *parents, leaf = dotted.split('.')
        parents.reduce(out) { |node, key| node[key] ||= {} }[leaf] = value
      end
    end

    # properties: only the declared ones reach a template, with the spec's defaults filled in
    def render(destination, properties: {}, links: {}, spec: {})
      unknown = links.keys - (@spec['consumes'] || []).map { |c| c['name'] }
      raise ArgumentError, "not consumed by this job: #{unknown}" unless unknown.empty?
      source = destination == 'monit' ? File.join(@dir, 'monit') : File.join(@dir, 'templates', @spec['templates'].key(destination))
      erb = ERB.new(File.read(source), trim_mode: '-')
      erb.filename = source
      copy = Marshal.load(Marshal.dump([spec, effective(properties), links]))
      erb.result(Scope.new(*copy).get_binding)
    end

    private

    def effective(given)
      (@spec['properties'] || {}).each_with_object({}) do |(dotted, definition), out|
        *parents, leaf = dotted.split('.')
        value = dotted.split('.').reduce(given) { |n, k| n.nil? ? nil : n[k] }
        value = (definition || {})['default'] if value.nil?
        parents.reduce(out) { |n, k| n[k] ||= {} }[leaf] = sorted(value)
      end
    end

    def sorted(value) = value.is_a?(Hash) ? value.transform_values { |v| sorted(v) }.sort.to_h : value
  end
end
